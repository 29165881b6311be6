package firehose

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
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
	failures int64         // in all
	success  time.Time     // the last one; at first the start
	probing  bool          // someone has entered while it fails
	changed  chan struct{} // closed and replaced when one may enter that could not, or pauses end
}

func newHealth(log *slog.Logger, what string) *health {
	return &health{log: log, what: what, success: time.Now(), changed: make(chan struct{})}
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
	h.wake()
}

// wake lets those look who wait for a change. h.mu is held.
func (h *health) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// enter waits for a turn to try, until ctx ends. As long as it fails, one at a time tries for all.
func (h *health) enter(ctx context.Context) (leave func(), err error) {
	for {
		h.mu.Lock()
		if h.row == 0 {
			h.mu.Unlock()
			return func() {}, nil
		}
		if !h.probing {
			h.probing = true
			h.mu.Unlock()
			return func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.probing = false
				h.wake()
			}, nil
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pause waits after a failure, longer the more there were before, but no longer than it fails.
func (h *health) pause(ctx context.Context, before int) error {
	timer := time.NewTimer(sinks.Backoff(before, rand.Float64()))
	defer timer.Stop()
	for {
		h.mu.Lock()
		row, changed := h.row, h.changed
		h.mu.Unlock()
		if row == 0 {
			return ctx.Err()
		}
		select {
		case <-timer.C:
			return nil
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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
