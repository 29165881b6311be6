package edge

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// took is how long the client has waited for an answer, or for the beginning of one that goes on.
func (x *exchange) took(now time.Time) time.Duration {
	if !x.answered.IsZero() {
		now = x.answered
	}
	return now.Sub(x.start)
}

// finish counts the request and writes its line in the access log.
func (h *Handler) finish(r *http.Request, x *exchange) {
	took := x.took(h.now())
	m := h.stray
	if x.route != nil {
		m = x.route.metrics
	}
	code := ""
	if x.fault != nil {
		code = x.fault.Code
	}
	m.done(code, took, x.received, x.sent)
	ctx := r.Context()
	if !h.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attributes := []slog.Attr{
		slog.String("request", x.ids.request()), slog.String("operation", x.target()), slog.String("client", r.RemoteAddr),
		slog.String("region", x.caller.Region), slog.Duration("took", took),
		slog.Int("received", x.received), slog.Int("sent", x.sent),
	}
	if x.accessKey != "" {
		attributes = append(attributes, slog.String("access_key", x.accessKey))
	}
	if x.fault != nil {
		// What follows in further lines repeats headers of the request, of which some are secret.
		message, _, _ := strings.Cut(x.fault.Message, "\n")
		attributes = append(attributes, slog.String("code", code), slog.String("message", message))
	}
	h.logger.LogAttrs(ctx, slog.LevelDebug, "request", attributes...)
}

// target names the operation for logs.
func (x *exchange) target() string {
	if x.route == nil {
		return ""
	}
	return x.route.service.Name + "." + x.route.operation.Name
}
