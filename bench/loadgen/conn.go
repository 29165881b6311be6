package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// maxAnswer bounds what a server can make the generator hold for one answer. GetRecords gives at most 10 MiB
// of data, 14 MiB in base64.
const maxAnswer = 64 << 20

// Conn is one keep-alive HTTP/1.1 connection that sends prebuilt requests and parses of the answers no more
// than it must: a full HTTP client would take as much of the shared cores as the server that is measured.
// Use it from one goroutine.
type Conn struct {
	net  net.Conn
	in   *bufio.Reader
	body []byte
}

// Dial connects to a server.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{net: c, in: bufio.NewReaderSize(c, 16<<10)}, nil
}

// Close ends the connection; a Do that waits fails.
func (c *Conn) Close() error { return c.net.Close() }

// SetDeadline bounds all later calls of Do.
func (c *Conn) SetDeadline(t time.Time) error { return c.net.SetDeadline(t) }

// StatusError is an answer other than 200.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the server answered %d: %s", e.Status, e.Body)
}

// Do sends one whole request and returns the body of its answer, which is valid until the next call. Any
// answer but 200 is a *StatusError; after any other error the connection is of no more use.
func (c *Conn) Do(request []byte) ([]byte, error) {
	if _, err := c.net.Write(request); err != nil {
		// A server that refuses a request early answers and closes before it has read all of it: that
		// answer says more than "broken pipe".
		if body, answerErr := c.answer(); answerErr != nil && isStatus(answerErr) {
			return body, answerErr
		}
		return nil, err
	}
	return c.answer()
}

func isStatus(err error) bool {
	var status *StatusError
	return errors.As(err, &status)
}

var (
	errHeader   = errors.New("malformed header in the answer")
	errTooLarge = errors.New("answer is too large")
)

func (c *Conn) answer() ([]byte, error) {
	status, length, err := c.header()
	if err != nil {
		return nil, err
	}
	c.body = c.body[:0]
	switch {
	case length > maxAnswer:
		return nil, errTooLarge
	case length >= 0:
		err = c.readBody(int(length))
	default:
		err = c.readChunks()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if status != 200 {
		return nil, &StatusError{Status: status, Body: string(c.body)}
	}
	return c.body, nil
}

// header reads the status line and the header fields. The length is −1 for a chunked body.
func (c *Conn) header() (status int, length int64, err error) {
	line, err := c.line()
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("%w: %q", errHeader, line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("%w: %q", errHeader, line)
	}
	for length = -2; ; {
		if line, err = c.line(); err != nil {
			return 0, 0, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil || length < 0 {
				return 0, 0, fmt.Errorf("%w: %q", errHeader, line)
			}
		case len(name) == 17 && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			length = -1
		}
	}
	if length == -2 {
		return 0, 0, fmt.Errorf("%w: neither length nor chunks", errHeader)
	}
	return status, length, nil
}

// line reads up to the end of the line and returns what is before it.
func (c *Conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		if len(line) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// readBody appends n bytes to the body.
func (c *Conn) readBody(n int) error {
	have := len(c.body)
	if cap(c.body) < have+n {
		grown := make([]byte, have, have+n+n/4)
		copy(grown, c.body)
		c.body = grown
	}
	c.body = c.body[:have+n]
	_, err := io.ReadFull(c.in, c.body[have:])
	return err
}

func (c *Conn) readChunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%w: chunk size %q", errHeader, line)
		}
		if n > maxAnswer || len(c.body)+int(n) > maxAnswer {
			return errTooLarge
		}
		if n > 0 {
			if err := c.readBody(int(n)); err != nil {
				return err
			}
		}
		// The line that ends a chunk, or, after the last one, the first of the trailers.
		for {
			if line, err = c.line(); err != nil {
				return err
			}
			if len(line) == 0 {
				break
			}
			if n > 0 {
				return fmt.Errorf("%w: chunk does not end where it should", errHeader)
			}
		}
		if n == 0 {
			return nil
		}
	}
}
