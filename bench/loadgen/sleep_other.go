//go:build !linux

package loadgen

import "time"

// SleepUntil is time.Sleep.
func SleepUntil(t time.Time) { time.Sleep(time.Until(t)) }
