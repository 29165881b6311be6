package edge

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer speaks HTTP/2 by hand.
type peer struct {
	*http2.Framer
	conn    net.Conn
	replies *http2.Framer // of read, so that others may write meanwhile
	headers bytes.Buffer
	encoder *hpack.Encoder
	answers map[uint32]string // status by stream
	ended   map[uint32]http2.ErrCode
}

// startHostile is a server whose handler waits for a body's end, and a client that says what it likes.
func startHostile(t *testing.T, handler http.HandlerFunc) (dial func() *peer) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(handler)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return func() *peer {
		t.Helper()
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		p := &peer{Framer: http2.NewFramer(conn, conn), conn: conn, answers: map[uint32]string{}, ended: map[uint32]http2.ErrCode{}}
		p.replies = http2.NewFramer(conn, nil)
		p.encoder = hpack.NewEncoder(&p.headers)
		p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			t.Fatal(err)
		}
		if err := p.WriteSettings(); err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// block is the header block of a request.
func (p *peer) block(more ...string) []byte {
	return p.fields(append([]string{":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", "/"}, more...)...)
}

func (p *peer) fields(fields ...string) []byte {
	p.headers.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(p.headers.Bytes())
}

func (p *peer) open(stream uint32, end bool, more ...string) error {
	return p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.block(more...), EndHeaders: true, EndStream: end})
}

// read takes frames until done says that it is enough, or the connection ends, which is the error then.
func (p *peer) read(done func() bool) error {
	for !done() {
		frame, err := p.ReadFrame()
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			p.answers[f.StreamID] = f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			p.ended[f.StreamID] = f.ErrCode
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return http2.ConnectionError(f.ErrCode)
			}
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = p.replies.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = p.replies.WritePing(true, f.Data)
			}
		}
	}
	return nil
}

func echo(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	_, _ = io.WriteString(w, "ok")
}

func TestTheWindowsThatAreOfferedAreThoseThatBoundMemory(t *testing.T) {
	p := startHostile(t, echo)()
	settings := map[http2.SettingID]uint32{}
	grown := uint32(65535)
	for len(settings) == 0 || grown == 65535 {
		frame, err := p.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			_ = f.ForeachSetting(func(s http2.Setting) error { settings[s.ID] = s.Val; return nil })
		case *http2.WindowUpdateFrame:
			grown += f.Increment
		}
	}
	for id, want := range map[http2.SettingID]uint32{
		http2.SettingMaxConcurrentStreams: maxStreams, http2.SettingInitialWindowSize: streamWindow, http2.SettingMaxFrameSize: maxFrame,
	} {
		if settings[id] != want {
			t.Errorf("%v is %d, want %d", id, settings[id], want)
		}
	}
	if got := settings[http2.SettingMaxHeaderListSize]; got < MaxHeaderBytes || got > 2*MaxHeaderBytes {
		t.Errorf("headers of %d bytes are allowed", got)
	}
	if grown != connectionWindow {
		t.Errorf("a connection's window is %d, want %d", grown, connectionWindow)
	}
}

func TestStreamsBeyondTheLimitAreRefusedAndTheOthersServed(t *testing.T) {
	p := startHostile(t, echo)()
	const many = maxStreams + 50
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		for i := range uint32(many) {
			if p.open(2*i+1, false) != nil {
				return
			}
		}
	}()
	if err := p.read(func() bool { return len(p.ended) == many-maxStreams }); err != nil {
		t.Fatal(err)
	}
	for stream := range p.ended {
		if stream < 2*maxStreams {
			t.Errorf("stream %d was refused: %v", stream, p.ended[stream])
		}
	}
	<-opened
	if err := p.WriteData(1, true, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := p.read(func() bool { return p.answers[1] != "" }); err != nil || p.answers[1] != "200" {
		t.Errorf("a stream within the limit: %q, %v", p.answers[1], err)
	}
}

func TestStreamsThatAreResetAtOnceDoNotPileUp(t *testing.T) {
	release := make(chan struct{})
	dial := startHostile(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Wait") != "" {
			<-release
		}
		echo(w, r)
	})
	p := dial()
	sent := make(chan error, 1)
	go func() {
		for i := range uint32(20_000) {
			if err := p.open(2*i+1, true, "x-wait", "1"); err != nil {
				sent <- err
				return
			}
			if err := p.WriteRSTStream(2*i+1, http2.ErrCodeCancel); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	err := p.read(func() bool { return false })
	var ended http2.ConnectionError
	if errors.As(err, &ended) && http2.ErrCode(ended) != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("the connection ended with %v", err)
	}
	close(release)
	_ = p.conn.Close()
	if <-sent == nil {
		t.Error("twenty thousand requests were begun and given up, and nobody minded")
	}
	other := dial()
	if err := other.open(1, true); err != nil {
		t.Fatal(err)
	}
	if err := other.read(func() bool { return other.answers[1] != "" }); err != nil || other.answers[1] != "200" {
		t.Errorf("another connection: %q, %v", other.answers[1], err)
	}
}

func TestHugeHeadersEndTheRequestOrTheConnection(t *testing.T) {
	dial := startHostile(t, echo)
	t.Run("one that is long", func(t *testing.T) {
		p := dial()
		block := p.block("x-long", strings.Repeat("x", 4*MaxHeaderBytes))
		first := true
		for len(block) > 0 {
			n := min(len(block), 16<<10)
			var err error
			if first {
				err = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:n], EndStream: true})
			} else {
				err = p.WriteContinuation(1, n == len(block), block[:n])
			}
			if err != nil {
				break
			}
			first, block = false, block[n:]
		}
		if err := p.read(func() bool { return p.answers[1] != "" }); err == nil && p.answers[1] != "431" {
			t.Errorf("answered with %s", p.answers[1])
		}
	})
	t.Run("continuations without end", func(t *testing.T) {
		p := dial()
		go func() {
			err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block(), EndStream: true})
			for range 100_000 {
				if err != nil {
					return
				}
				err = p.WriteContinuation(1, false, p.fields("x-more", "more"))
			}
		}()
		if err := p.read(func() bool { return p.answers[1] == "200" }); err == nil {
			t.Error("they were taken")
		}
		_ = p.conn.Close()
	})
	t.Run("a frame that is too large", func(t *testing.T) {
		p := dial()
		if err := p.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, maxFrame+1)); err != nil {
			t.Fatal(err)
		}
		var ended http2.ConnectionError
		if err := p.read(func() bool { return false }); !errors.As(err, &ended) && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("the connection goes on: %v", err)
		}
	})
}

// What a body's end waits for is the stream's own affair.
func TestABodyThatNeverEndsEndsNoOtherStream(t *testing.T) {
	handler, err := New(Options{BodyTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	p := startHostile(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Slow") == "" {
			echo(w, r)
			return
		}
		x := exchange{http1: r.ProtoMajor == 1}
		m := memory{request: handler.requests.Open(), answer: handler.answers.Open()}
		defer m.request.Release()
		expectBody(w, r, handler.bodyTimeout)
		_, err := handler.readBody(r.Context(), w, r, 1<<20, &m.in, &m.request)
		if m.request.held != smallestBuffer+1000 { // the buffer, and what may have arrived beside it
			t.Errorf("%d bytes are accounted for", m.request.held)
		}
		m.in.release()
		handler.refuse(w, r, &x, err)
	})()
	if err := p.open(1, false, "x-slow", "1", "content-length", "1000"); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteData(1, false, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if err := p.open(3, false); err != nil {
		t.Fatal(err)
	}
	if err := p.read(func() bool { return p.answers[1] != "" }); err != nil || p.answers[1] != "408" {
		t.Fatalf("the slow one: %q, %v", p.answers[1], err)
	}
	if err := p.WriteData(3, true, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := p.read(func() bool { return p.answers[3] != "" }); err != nil || p.answers[3] != "200" {
		t.Errorf("the other one: %q, %v", p.answers[3], err)
	}
	if err := p.open(5, true); err != nil {
		t.Fatal(err)
	}
	if err := p.read(func() bool { return p.answers[5] != "" }); err != nil || p.answers[5] != "200" {
		t.Errorf("a later one: %q, %v", p.answers[5], err)
	}
}
