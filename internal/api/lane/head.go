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

// head is a request's line and headers, parsed. Its memory serves one request after the other: a client sends the
// same headers every time, in the same order, and then nothing changes but the values.
//
// header[lines[i].name] is values[i:i+1] for every line, unless repeated is set or it is one that net/http does not
// keep. Handlers do not change the header.
type head struct {
	header   http.Header
	lines    []line
	values   []string // what the slices in header point into
	repeated bool     // a header stands on several lines
	host     string
	length   int64
	target   string
}

// line is a line of the header.
type line struct {
	sent string // the name as it was sent
	name string // as net/http has it
	kind kind
}

// kind tells the headers that matter here from the others.
type kind int

const (
	other kind = iota
	host
	contentLength
	xAmzTarget
	connection
	refused // what net/http knows what to do with
)

func kindOf(name string) kind {
	switch name {
	case "Host":
		return host
	case "Content-Length":
		return contentLength
	case "X-Amz-Target":
		return xAmzTarget
	case "Connection":
		return connection
	case "Expect", "Pragma", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return refused
	}
	return other
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
	if !printable(text[len(requestLine):size]) {
		return 0, unusual
	}
	h.host, h.length, h.target = "", -1, ""
	lines := string(text[len(requestLine) : size-2]) // the values are parts of this one string
	n := 0
	for ; lines != ""; n++ {
		end := strings.Index(lines, "\r\n")
		sent := lines[:end]
		lines = lines[end+2:]
		colon := strings.IndexByte(sent, ':')
		if colon <= 0 || !h.add(n, sent[:colon], strings.Trim(sent[colon+1:], " \t")) {
			return 0, unusual
		}
	}
	if n < len(h.lines) {
		h.cut(n)
	}
	if h.host == "" || h.length < 0 || h.target == "" {
		return 0, unusual
	}
	return size, plain
}

// cut makes the header the one of the first n lines.
func (h *head) cut(n int) {
	h.lines, h.values = h.lines[:n], h.values[:n]
	h.repeated = false
	clear(h.header)
	for i := range h.lines {
		h.enter(i)
	}
}

// enter puts a line into the header.
func (h *head) enter(i int) {
	l := &h.lines[i]
	if l.kind == host { // which net/http does not keep among the headers
		return
	}
	if present := h.header[l.name]; present != nil {
		h.header[l.name] = append(present, h.values[i]) // its capacity is one: what is beside it stays
		h.repeated = true
		return
	}
	h.header[l.name] = h.values[i : i+1 : i+1]
}

// maxLines is how many lines there is memory for from the start, so that values need not move.
const maxLines = 64

// add takes line number n of the header. False: it is for net/http to judge.
func (h *head) add(n int, sent, value string) bool {
	switch {
	case n == maxLines:
		return false
	case h.header == nil:
		h.header, h.values = http.Header{}, make([]string, 0, maxLines)
	case n == 0 && h.repeated:
		h.cut(0)
	}
	if n < len(h.lines) && h.lines[n].sent != sent { // this client has never sent these before
		h.cut(n)
	}
	fresh := n == len(h.lines)
	if fresh {
		name, ok := canonical(sent)
		if !ok {
			return false
		}
		h.lines = append(h.lines, line{sent: strings.Clone(sent), name: name, kind: kindOf(name)})
		h.values = append(h.values, value)
		h.enter(n)
	} else {
		h.values[n] = value
	}
	switch h.lines[n].kind {
	case host:
		if h.host != "" || !plainHost(value) {
			return false
		}
		h.host = value
	case contentLength:
		if h.length >= 0 || len(value) == 0 || len(value) > 15 || value[0] < '0' || value[0] > '9' {
			return false
		}
		length, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false
		}
		h.length = length
	case xAmzTarget:
		if h.target != "" {
			return false
		}
		h.target = value
	case connection:
		return strings.EqualFold(value, "keep-alive")
	case refused:
		return false
	}
	return true
}

// printable tells whether text is of ASCII characters, tabs, and ends of lines of which none is half.
func printable(text []byte) bool {
	for i, c := range text {
		if c >= ' ' && c < 0x7f || c == '\t' {
			continue
		}
		switch {
		case c == '\r' && i+1 < len(text) && text[i+1] == '\n':
		case c == '\n' && i > 0 && text[i-1] == '\r':
		default:
			return false
		}
	}
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
