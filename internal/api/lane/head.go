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
// same headers every time, in the same order, and then nothing changes but some of the values. A line that is, byte by
// byte, what stood in its place the last time is not looked at again.
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
	text string // as it was sent, with its end
	sent string // the name in it
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
	case size < 4 && bareNewline(text): // to net/http that ends a line, and perhaps the head
		return 0, unusual
	case size < 4:
		return 0, incomplete
	}
	h.host, h.length, h.target = "", -1, ""
	n := 0
	for lines := text[len(requestLine) : size-2]; len(lines) > 0; n++ {
		if n < len(h.lines) && !h.repeated {
			if known := h.lines[n].text; len(lines) >= len(known) && string(lines[:len(known)]) == known {
				if !h.judge(h.lines[n].kind, h.values[n]) {
					return 0, unusual
				}
				lines = lines[len(known):]
				continue
			}
		}
		end := bytes.Index(lines, []byte("\r\n"))
		if !printable(lines[:end]) || !h.add(n, string(lines[:end+2])) {
			return 0, unusual
		}
		lines = lines[end+2:]
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

// add takes line number n of the header, which is another than the last time. False: it is for net/http to judge.
func (h *head) add(n int, text string) bool {
	colon := strings.IndexByte(text, ':')
	if colon <= 0 {
		return false
	}
	sent, value := text[:colon], strings.Trim(text[colon+1:len(text)-2], " \t")
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
	if n == len(h.lines) {
		name, ok := canonical(sent)
		if !ok {
			return false
		}
		h.lines = append(h.lines, line{text: text, sent: sent, name: name, kind: kindOf(name)})
		h.values = append(h.values, value)
		h.enter(n)
	} else {
		h.lines[n].text, h.lines[n].sent = text, sent
		h.values[n] = value
	}
	return h.judge(h.lines[n].kind, value)
}

// judge takes the value of a header that matters here. False: it is for net/http to judge.
func (h *head) judge(k kind, value string) bool {
	switch k {
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

// bareNewline tells whether a line of text ends without a carriage return.
func bareNewline(text []byte) bool {
	for i := len(requestLine); i < len(text); i++ {
		if text[i] == '\n' && text[i-1] != '\r' {
			return true
		}
	}
	return false
}

// printable tells whether text is of ASCII characters and tabs.
func printable(text []byte) bool {
	for _, c := range text {
		if (c < ' ' || c >= 0x7f) && c != '\t' {
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
