package lane

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// requestLine begins the requests that are served here.
const requestLine = "POST / HTTP/1.1\r\n"

// maxHead is how long a request's line and headers may be together.
const maxHead = 4 << 10

// head is a request's line and headers, parsed. Its memory serves one request after the other.
type head struct {
	header http.Header
	values []string // what the slices in header point into
	host   string
	length int64
	target string
}

// verdict is what can be said of the bytes read so far.
type verdict int

const (
	incomplete verdict = iota // more bytes are needed
	plain                     // a request that can be served here
	unusual                   // for net/http
)

// parse reads the head of a request at the beginning of text. size is its length in bytes if the request is plain.
func (h *head) parse(text []byte) (size int, v verdict) {
	if n := min(len(text), len(requestLine)); string(text[:n]) != requestLine[:n] {
		return 0, unusual
	}
	size = bytes.Index(text, []byte("\r\n\r\n")) + 4
	switch {
	case size < 4 && len(text) >= maxHead, size > maxHead:
		return 0, unusual
	case size < 4:
		return 0, incomplete
	}
	h.reset()
	lines := string(text[len(requestLine) : size-2]) // the values are parts of this one string
	for lines != "" {
		line, rest, _ := strings.Cut(lines, "\r\n")
		if lines = rest; !h.add(line) {
			return 0, unusual
		}
	}
	if h.host == "" || h.length < 0 || h.target == "" {
		return 0, unusual
	}
	return size, plain
}

func (h *head) reset() {
	if h.header == nil {
		h.header = http.Header{}
	}
	clear(h.header)
	clear(h.values)
	h.values = h.values[:0]
	h.host, h.length, h.target = "", -1, ""
}

// add takes one line of the header. False: it is for net/http to judge.
func (h *head) add(line string) bool {
	colon := strings.IndexByte(line, ':')
	if colon <= 0 {
		return false
	}
	name, ok := canonical(line[:colon])
	if !ok {
		return false
	}
	value := line[colon+1:]
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	value = strings.Trim(value, " \t")
	switch name {
	case "Host":
		if h.host != "" || !plainHost(value) {
			return false
		}
		h.host = value
		return true // net/http does not keep it among the headers
	case "Content-Length":
		if h.length >= 0 || len(value) == 0 || len(value) > 15 || value[0] < '0' || value[0] > '9' {
			return false
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false
		}
		h.length = n
	case "X-Amz-Target":
		if h.target != "" {
			return false
		}
		h.target = value
	case "Connection":
		if !strings.EqualFold(value, "keep-alive") {
			return false
		}
	case "Expect", "Pragma", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return false
	}
	if present := h.header[name]; present != nil {
		h.header[name] = append(present, value) // its capacity is one: what is beside it stays
		return true
	}
	h.values = append(h.values, value)
	n := len(h.values)
	h.header[name] = h.values[n-1 : n : n]
	return true
}

// canonical is a header's name as net/http spells it; false if it is not a name.
func canonical(name string) (string, bool) {
	if known, ok := names[name]; ok {
		return known, true
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return "", false
		}
	}
	return textproto.CanonicalMIMEHeaderKey(name), true
}

// names are the headers that SDKs send, as they spell them and as net/http does.
var names = func() map[string]string {
	m := map[string]string{}
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Authorization", "Connection",
		"Content-Encoding", "Content-Length", "Content-Type", "Date", "Host", "User-Agent", "X-Amz-Content-Sha256",
		"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Target", "X-Amz-User-Agent",
	} {
		m[name], m[strings.ToLower(name)] = name, name
	}
	return m
}()

// plainHost tells whether a Host is a name or address, with or without a port.
func plainHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == ':', c == '[', c == ']', c == '_':
		default:
			return false
		}
	}
	return host != ""
}
