package sinks

import (
	"context"
	"math/rand/v2"
	"time"
)

// The waits between attempts start at backoffBase at most, double with each attempt, and never exceed
// backoffCap, so that a bucket that is back after hours is found within half a minute.
const (
	backoffBase = 100 * time.Millisecond
	backoffCap  = 30 * time.Second
)

// Backoff says how long to wait after a failed attempt, the first of which is number 0: exponential growth with
// full jitter. random, from [0, 1), picks the wait between nothing and the bound for that attempt, so that many
// who failed together do not come back together. See "Exponential Backoff And Jitter", AWS Architecture Blog.
func Backoff(attempt int, random float64) time.Duration {
	bound := backoffCap
	// Shifts that would pass the cap, or overflow, are not made.
	if attempt = max(attempt, 0); attempt < 16 {
		bound = min(backoffBase<<attempt, backoffCap)
	}
	return time.Duration(random * float64(bound))
}

// WaitBackoff waits as Backoff says for that attempt, or until ctx ends and then returns ctx.Err.
func WaitBackoff(ctx context.Context, attempt int) error {
	timer := time.NewTimer(Backoff(attempt, rand.Float64()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
