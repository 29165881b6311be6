package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-462d9463/sluice/bench/loadgen"
)

// repeat sends prebuilt requests in turn, over and over.
type repeat struct {
	requests [][]byte
	at       int
	worth    loadgen.Worth // of each
	want     []byte        // what an answer holds when all went well
}

var _ loadgen.Script = (*repeat)(nil)

func (r *repeat) Next() ([]byte, error) {
	request := r.requests[r.at]
	r.at = (r.at + 1) % len(r.requests)
	return request, nil
}

func (r *repeat) Done(body []byte) (loadgen.Worth, error) {
	if !bytes.Contains(body, r.want) {
		return loadgen.Worth{}, fmt.Errorf("the answer has no %s: %.300s", r.want, body)
	}
	return r.worth, nil
}

// repeats gives each of n connections its own place in the same requests.
func repeats(n int, requests [][]byte, worth loadgen.Worth, want string) []loadgen.Script {
	scripts := make([]loadgen.Script, n)
	for i := range scripts {
		scripts[i] = &repeat{requests: requests, at: i * len(requests) / n, worth: worth, want: []byte(want)}
	}
	return scripts
}

// drive connects the scripts to the target, lets them run until the target is warm, and measures them then.
func (s *stage) drive(ctx context.Context, target *server, scripts []loadgen.Script) (_ measurement, err error) {
	clients, err := loadgen.Connect(ctx, target.addr, len(scripts))
	if err != nil {
		return measurement{}, err
	}
	defer clients.Close()
	run := func(d time.Duration) (loadgen.Result, error) {
		result, err := clients.Run(ctx, d, scripts)
		if err != nil && exited(target) {
			err = errors.Join(err, target.Failure())
		}
		return result, err
	}
	if _, err := run(s.warmup); err != nil {
		return measurement{}, err
	}
	return s.measure(ctx, target, func() (loadgen.Result, error) { return run(s.duration) })
}

func exited(target *server) bool {
	select {
	case <-target.Exited():
		return true
	default:
		return false
	}
}
