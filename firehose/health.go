package firehose

import (
	"errors"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks"
)

// health is how something that is tried again and again is doing: the deliveries of one delivery stream, or the
// reads of its source. It writes to the log when something changes, and otherwise at the 2nd, 4th, 8th …
// failure in a row, so that an hour without a bucket makes some lines and not thousands.
type health struct {
	log  *slog.Logger
	what string // "Delivery"

	mu       sync.Mutex
	row      int // failures since the last success
	class    string
	since    time.Time // of the first in the row
	last     error
	failures int64     // in all
	success  time.Time // the last one; at first the start
}

func newHealth(log *slog.Logger, what string) *health {
	return &health{log: log, what: what, success: time.Now()}
}

// failed notes a failure, and tells how many there were in a row before.
func (h *health) failed(err error, attrs ...any) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.row == 0 {
		h.since = time.Now()
	}
	class := failureClass(err)
	before := h.row
	h.row++
	h.failures++
	if class != h.class || h.row&(h.row-1) == 0 {
		h.log.Warn(h.what+" failed; it is tried again for as long as it takes",
			append(attrs, "error", err, "class", class, "attempts", h.row, "since", h.since)...)
	}
	h.class, h.last = class, err
	return before
}

// ok notes a success.
func (h *health) ok() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.success = time.Now()
	if h.row > 0 {
		h.log.Info(h.what+" works again", "failures", h.row, "after", h.success.Sub(h.since))
	}
	h.row, h.class, h.last = 0, "", nil
}

func (h *health) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.row > 0
}

func failureClass(err error) string {
	_, corrupt := errors.AsType[*shard.CorruptError](err)
	switch {
	case corrupt || errors.Is(err, errMissing):
		return "damaged source"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return sinks.Class(err)
	}
}
