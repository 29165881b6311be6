package edge

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/lane"
)

// secured is a server that says which protocol it was spoken to, over TLS.
type secured struct {
	addr  string
	roots *x509.CertPool
}

// newCertificate makes a certificate for this machine that vouches for itself.
func newCertificate(t *testing.T) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certificate
}

func startSecured(t *testing.T, plain bool, change ...func(*http.Server)) *secured {
	t.Helper()
	pair, certificate := newCertificate(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprint(w, r.Proto, " ", overTLS(r))
	}))
	for _, c := range change {
		c(server)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{pair},
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(Secure(listener, config, plain, slog.New(slog.DiscardHandler)))
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error("shut down:", err)
		}
		<-served
	})
	s := &secured{addr: listener.Addr().String(), roots: x509.NewCertPool()}
	s.roots.AddCert(certificate)
	return s
}

// client speaks HTTP as the protocols say. A nil dial is the transport's own.
func (s *secured) client(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), set ...func(*http.Protocols, bool)) *http.Client {
	t.Helper()
	var protocols http.Protocols
	for _, p := range set {
		p(&protocols, true)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, Protocols: &protocols, DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// opaque hides from a transport that a connection speaks TLS.
type opaque struct{ net.Conn }

// withoutALPN dials TLS and agrees on no protocol, as old clients in Java do that begin with HTTP/2 all the same.
func (s *secured) withoutALPN(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: s.roots}}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return opaque{conn}, nil
}

func TestEveryWayToSpeakHTTPWorksOnThePortWithTLS(t *testing.T) {
	s := startSecured(t, true)
	http1, http2, h2c := (*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2, (*http.Protocols).SetUnencryptedHTTP2
	large := strings.Repeat("0123456789abcdef", 1<<20)
	for _, c := range []struct {
		name, scheme, want string
		client             *http.Client
	}{
		{"HTTP/1.1 by ALPN", "https", "HTTP/1.1 true", s.client(t, nil, http1)},
		{"HTTP/2 by ALPN", "https", "HTTP/2.0 true", s.client(t, nil, http1, http2)},
		{"HTTP/1.1 without ALPN", "http", "HTTP/1.1 true", s.client(t, s.withoutALPN, http1)},
		{"HTTP/2 by its preface, without ALPN", "http", "HTTP/2.0 true", s.client(t, s.withoutALPN, h2c)},
		{"HTTP/1.1 without TLS", "http", "HTTP/1.1 false", s.client(t, nil, http1)},
		{"HTTP/2 without TLS", "http", "HTTP/2.0 false", s.client(t, nil, h2c)},
	} {
		for _, body := range []string{"", "small", large} {
			answer, err := c.client.Post(c.scheme+"://"+s.addr+"/", "text/plain", strings.NewReader(body))
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			got, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || string(got) != body+c.want {
				t.Errorf("%s, %d bytes: %d bytes that end with %.20q, %v, want %q", c.name, len(body), len(got), got[max(0, len(got)-20):], err, c.want)
			}
		}
	}
}

func TestPlainHTTPIsToldThatThePortSpeaksTLS(t *testing.T) {
	s := startSecured(t, false)
	answer, err := http.Get("http://" + s.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "speaks TLS") {
		t.Errorf("%s %s", answer.Status, text)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestWhoReadsNothingDoesNotHoldUpTheClosing(t *testing.T) {
	pair, certificate := newCertificate(t)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe() // on which nothing is under way: what is not read is not written
		listener := &secureListener{config: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, logger: slog.New(slog.DiscardHandler)}
		conn := &secureConn{Conn: here, listener: listener}
		go func() {
			client := tls.Client(there, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Time: func() time.Time { return certificate.NotAfter.Add(-time.Minute) }})
			_, _ = io.WriteString(client, "x")
		}()
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_ = conn.Close()
		if took := time.Since(start); took > partingTime {
			t.Errorf("closed after %v", took)
		}
	})
}

func TestOldTLSIsRefused(t *testing.T) {
	s := startSecured(t, false)
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	old := tls.Client(conn, &tls.Config{RootCAs: s.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := old.Handshake(); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("handshake: %v", err)
	}
}

func TestWhoDoesNotFinishTheHandshakeIsCutOff(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := startSecured(t, plain, func(server *http.Server) { server.ReadHeaderTimeout = 100 * time.Millisecond })
		for name, begin := range map[string]string{"nothing": "", "a byte": "\x16", "half a hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "noise": "\x00\x01\x02\x03\x04\x05\x06"} {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, begin); err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, bufio.NewReader(conn)); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%s, plain %v: %v", name, plain, err)
			}
			_ = conn.Close()
		}
	}
}

func TestHowMuchOfAnAnswerHasComeIsToldThroughTLS(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the system does not tell")
	}
	pair, certificate := newCertificate(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const length = 32 << 20
	writers := make(chan teller, 1)
	server := lane.New(NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		told, ok := w.(teller)
		if !ok || !told.Tells() {
			t.Error("it does not tell")
			close(writers)
			return
		}
		writers <- told
		w.Header().Set("Content-Length", fmt.Sprint(length))
		for range length / piece {
			if _, err := w.Write(make([]byte, piece)); err != nil {
				return
			}
		}
	})), Prompt)
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(Secure(listener, config, false, slog.New(slog.DiscardHandler)))
	}()
	defer func() { <-served }()
	defer func() { _ = server.Close() }()
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const request = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.GetRecords\r\nContent-Length: 0\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if _, err := in.Peek(1); err != nil { // the handler has run, and told what it should
		t.Fatal(err)
	}
	w, ok := <-writers
	if !ok {
		return
	}
	const taken = length / 2
	if _, err := io.CopyN(io.Discard, in, taken); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); w.Got() < taken*9/10; { // what is confirmed late, and TLS's own bytes
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes have come, and %d were read", w.Got(), taken)
		}
		<-time.After(time.Millisecond)
	}
}
