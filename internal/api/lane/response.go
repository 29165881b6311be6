package lane

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// response is the http.ResponseWriter of one request. It is used by the request's goroutine alone, but for the
// deadlines of the past, which may come from any.
type response struct {
	conn   *conn
	header http.Header
	status int
	sent   bool  // the head is on its way
	left   int64 // bytes that the body still needs, of those announced; −1: it ends with the connection
	ends   bool  // the connection is closed after this answer

	written atomic.Int64 // bytes of the body that the system has taken
}

var _ http.ResponseWriter = (*response)(nil)

func (r *response) reset() {
	clear(r.header)
	r.status, r.sent, r.left, r.ends = 0, false, 0, false
	r.written.Store(0)
}

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter. The head is sent together with what is written first.
func (r *response) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *response) Write(body []byte) (int, error) {
	if r.sent {
		return r.more(body)
	}
	head := r.head(-1, nil)
	if r.left >= 0 && int64(len(body)) > r.left {
		return 0, http.ErrContentLength
	}
	return r.first(head, body)
}

// Answer sends a whole answer. lines are headers as they stand on the wire, each with its end, beside those in
// Header(); none of them is one of connections, lengths or dates. A client that is gone misses its answer.
func (r *response) Answer(status int, lines, body []byte) {
	r.WriteHeader(status)
	_, _ = r.first(r.head(int64(len(body)), lines), body)
}

// first sends the head with the first part of the body.
func (r *response) first(head, body []byte) (int, error) {
	if len(head)+len(body) <= cap(head) {
		if _, err := r.conn.net.Write(append(head, body...)); err != nil {
			r.ends = true
			return 0, err
		}
	} else {
		buffers := net.Buffers{head, body}
		if _, err := buffers.WriteTo(r.conn.net); err != nil {
			r.ends = true
			return 0, err
		}
	}
	r.took(len(body))
	return len(body), nil
}

func (r *response) more(body []byte) (int, error) {
	if r.left >= 0 && int64(len(body)) > r.left {
		return 0, http.ErrContentLength
	}
	n, err := r.conn.net.Write(body)
	r.took(n)
	if err != nil {
		r.ends = true
	}
	return n, err
}

func (r *response) took(n int) {
	r.written.Add(int64(n))
	if r.left >= 0 {
		r.left -= int64(n)
	}
}

// finish sends what has not been sent when the handler has returned.
func (r *response) finish() {
	if !r.sent {
		if _, err := r.conn.net.Write(r.head(0, nil)); err != nil {
			r.ends = true
		}
	}
	if r.left != 0 { // less than announced, or nothing was
		r.ends = true
	}
}

// head makes the status line and headers in the connection's memory for it. length is the body's if it is known
// and not among the headers, else −1; lines are more headers.
func (r *response) head(length int64, lines []byte) []byte {
	r.sent = true
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if text := r.header["Content-Length"]; len(text) == 1 {
		if n, err := strconv.ParseInt(text[0], 10, 64); err == nil {
			length = n
		}
	}
	r.left = length
	if v := r.header["Connection"]; len(v) > 0 && v[0] == "close" || length < 0 || r.conn.server.closing.Load() ||
		r.conn.cut.Load() || r.conn.body.left > maxDiscard {
		r.ends = true
	}
	dst := append(r.conn.out[:0], "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	dst = append(append(dst, ' '), http.StatusText(r.status)...)
	dst = append(append(append(dst, "\r\nDate: "...), date()...), "\r\n"...)
	dst = append(dst, lines...)
	for name, values := range r.header {
		if name == "Connection" || name == "Content-Length" || name == "Date" {
			continue
		}
		for _, value := range values {
			dst = append(append(dst, name...), ": "...)
			if strings.ContainsAny(value, "\r\n") {
				value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
			}
			dst = append(append(dst, value...), "\r\n"...)
		}
	}
	if length >= 0 {
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), length, 10), "\r\n"...)
	}
	if r.ends {
		dst = append(dst, "Connection: close\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// SetReadDeadline serves http.ResponseController. When the body has been read there is nothing to wait for.
func (r *response) SetReadDeadline(t time.Time) error {
	if past(t) {
		r.conn.cut.Store(true)
		return r.conn.net.SetReadDeadline(t)
	}
	if r.conn.body.Arrived() {
		return nil
	}
	return r.conn.setReadDeadline(t)
}

// SetWriteDeadline serves http.ResponseController. A deadline that is nearly the one set before is not set again.
func (r *response) SetWriteDeadline(t time.Time) error {
	if past(t) {
		r.conn.cut.Store(true)
		return r.conn.net.SetWriteDeadline(t)
	}
	c := r.conn
	if t.IsZero() == c.writeBy.IsZero() && !c.writeBy.Before(t) && c.writeBy.Sub(t) <= leeway {
		return nil
	}
	if c.writeBy = t; !t.IsZero() {
		c.writeBy = t.Add(leeway)
	}
	return c.net.SetWriteDeadline(c.writeBy)
}

// leeway is how much later than asked for a write may be given up.
const leeway = 10 * time.Second

// past tells a deadline that ends what is under way from one that has to be kept.
func past(t time.Time) bool { return !t.IsZero() && t.Unix() < 1<<30 }

// today is the Date of answers, made once a second.
var today atomic.Pointer[struct {
	second int64
	text   string
}]

func date() string {
	now := time.Now()
	if d := today.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &struct {
		second int64
		text   string
	}{now.Unix(), now.UTC().Format(http.TimeFormat)}
	today.Store(d)
	return d.text
}
