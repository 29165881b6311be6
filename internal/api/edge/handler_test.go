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
