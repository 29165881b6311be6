package edge

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/sigv4"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

func TestTheLogHasNoHeadersOfRequests(t *testing.T) {
	operation := wire.NewOperation("Do", 1<<10, func(context.Context, wire.Caller, *struct{}, *wire.Nothing) error { return nil })
	var log strings.Builder
	handler, err := New(Options{
		Services:    []*wire.Service{wire.NewService("kinesis", "K", nil, operation)},
		Credentials: []sigv4.Credential{{AccessKey: "key", SecretKey: "right"}},
		Logger:      slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	r.Header.Set("Content-Type", wire.JSON{}.ContentType())
	r.Header.Set("X-Amz-Target", "K.Do")
	r.Header.Set("X-Amz-Security-Token", "session-token")
	sigv4.Sign(r, sigv4.Credential{AccessKey: "key", SecretKey: "wrong"}, "us-east-1", "kinesis", sha256.Sum256([]byte("{}")), time.Now())
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), "session-token") {
		t.Errorf("the client is not told what should have been signed: %d %s", w.Code, w.Body)
	}
	if text := log.String(); !strings.Contains(text, "InvalidSignatureException") || strings.Contains(text, "session-token") {
		t.Errorf("the log has %s", text)
	}
}

// whileSent calls a function when an answer is sent.
type whileSent struct {
	*httptest.ResponseRecorder
	then func()
}

func (w whileSent) Write(body []byte) (int, error) {
	w.then()
	return w.ResponseRecorder.Write(body)
}

func TestASmallAnswerHoldsNoMemoryWhileItIsSent(t *testing.T) {
	type text struct{ Text string }
	operation := wire.NewOperation("Do", 1<<20, func(_ context.Context, _ wire.Caller, in, out *text) error {
		*out = *in
		return nil
	})
	handler, err := New(Options{Services: []*wire.Service{wire.NewService("kinesis", "K", nil, operation)}})
	if err != nil {
		t.Fatal(err)
	}
	for size, held := range map[int]bool{10: false, 100 << 10: true} {
		body := `{"Text":"` + strings.Repeat("x", size) + `"}`
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", wire.JSON{}.ContentType())
		r.Header.Set("X-Amz-Target", "K.Do")
		sent := false
		w := whileSent{httptest.NewRecorder(), func() {
			sent = true
			if used := handler.requests.Used(); used > 0 != held {
				t.Errorf("an answer of %d bytes: %d are held while it is sent", size, used)
			}
		}}
		handler.ServeHTTP(w, r)
		if !sent || w.Body.String() != body {
			t.Errorf("answered %d: %.100s", w.Code, w.Body)
		}
		if used := handler.requests.Used(); used != 0 {
			t.Errorf("%d bytes are held when all is done", used)
		}
	}
}

// slowVisitor has been slow to send what it holds memory for.
type slowVisitor struct {
	t       *testing.T
	refused bool
}

func (s *slowVisitor) Serve(_ http.ResponseWriter, r *http.Request, v *Visit) error {
	if err := v.Hold(r.Context(), 1<<20); err != nil {
		s.t.Error(err)
	}
	return errCut
}

func (s *slowVisitor) Refuse(_ http.ResponseWriter, v *Visit, fault *wire.Fault) {
	s.refused = true
	if used := v.handler.requests.Used(); used != 0 || fault.Status != http.StatusServiceUnavailable {
		s.t.Errorf("%d bytes are held while it is answered with %d", used, fault.Status)
	}
}

func TestAVisitorThatWasSlowHoldsNothingWhileItIsRefused(t *testing.T) {
	handler, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	visitor := &slowVisitor{t: t}
	handler.Beside("a service", "Visit", visitor).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))
	if !visitor.refused {
		t.Error("it was not answered")
	}
}

// long is an output that knows how long its answer is.
type long struct{ Text string }

func (l *long) WireSize() (rest, blobs int) { return len(l.Text) + 20, 0 }

func TestALargeAnswerHoldsNothingOfItsRequestWhileItIsSent(t *testing.T) {
	operation := wire.NewOperation("Do", 1<<20, func(_ context.Context, _ wire.Caller, _ *wire.Nothing, out *long) error {
		out.Text = strings.Repeat("x", 100<<10)
		return nil
	})
	handler, err := New(Options{Services: []*wire.Service{wire.NewService("kinesis", "K", nil, operation)}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	r.Header.Set("Content-Type", wire.JSON{}.ContentType())
	r.Header.Set("X-Amz-Target", "K.Do")
	sent := false
	w := whileSent{httptest.NewRecorder(), func() {
		sent = true
		if requests, answers := handler.requests.Used(), handler.answers.Used(); requests != 0 || answers < 100<<10 {
			t.Errorf("while it is sent %d bytes are held for requests and %d for answers", requests, answers)
		}
	}}
	handler.ServeHTTP(w, r)
	if !sent || w.Body.Len() < 100<<10 {
		t.Errorf("answered %d: %.100s", w.Code, w.Body)
	}
	if used := handler.requests.Used() + handler.answers.Used(); used != 0 {
		t.Errorf("%d bytes are held when all is done", used)
	}
}
