package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/bench/loadgen"
)

// send sends every request once, over several connections, and checks the answers.
func send(ctx context.Context, target *server, requests [][]byte, connections int, want string) error {
	clients, err := loadgen.Connect(ctx, target.addr, connections)
	if err != nil {
		return err
	}
	defer clients.Close()
	var next atomic.Int64
	scripts := make([]loadgen.Script, connections)
	for i := range scripts {
		scripts[i] = &once{repeat: repeat{requests: requests, want: []byte(want)}, next: &next}
	}
	_, err = clients.Run(ctx, sendLimit, scripts)
	return err
}

// sendLimit bounds what is sent outside of measurements; it is not reached.
const sendLimit = 10 * time.Minute

// once shares one list of requests among connections.
type once struct {
	repeat
	next *atomic.Int64
}

var _ loadgen.Script = (*once)(nil)

func (o *once) Next() ([]byte, error) {
	i := o.next.Add(1) - 1
	if i >= int64(len(o.requests)) {
		return nil, loadgen.ErrFinished
	}
	return o.requests[i], nil
}
