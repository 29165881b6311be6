// Package loadgen drives a server over many connections and measures what comes back.
//
// The load is a closed loop: every connection sends its next request when it has the answer to the one before.
// So throughput is what the server can do, and the latencies are those of a server that is saturated by that
// many clients, waiting for the CPU included.
package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Worth is what one answered request has moved.
type Worth struct {
	Records int
	Bytes   int64 // payload: users' bytes, before base64 and without keys
}

// Script is what one connection says. It is used by one goroutine at a time.
type Script interface {
	// Next gives the bytes of the next request, head and body. They are not changed, and need only be valid
	// until the next call.
	Next() ([]byte, error)
	// Done judges the body of the answer to it, which is valid during the call. An error ends the run.
	Done(body []byte) (Worth, error)
}

// Result is what a run has measured.
type Result struct {
	Elapsed  time.Duration // from the first request's start to the last answer's end
	Requests int64
	Worth    Worth
	Latency  *Histogram
}

// Clients is a set of open connections to one server.
type Clients struct{ conns []*Conn }

// Connect opens n connections.
func Connect(ctx context.Context, addr string, n int) (*Clients, error) {
	c := &Clients{}
	for range n {
		conn, err := Dial(ctx, addr)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

// Close ends all connections.
func (c *Clients) Close() {
	for _, conn := range c.conns {
		_ = conn.Close() // nothing is lost with it
	}
}

// stuck is how long after the end of a run an answer may still come.
const stuck = time.Minute

// Run lets every connection go through its script for d: no request is started later, and all that were
// started are waited for. It fails with the first error that any connection meets, and with ctx.
func (c *Clients) Run(ctx context.Context, d time.Duration, scripts []Script) (Result, error) {
	if len(scripts) != len(c.conns) {
		return Result{}, fmt.Errorf("%d scripts for %d connections", len(scripts), len(c.conns))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	parts := make([]part, len(c.conns))
	start := time.Now()
	end := start.Add(d)
	var running sync.WaitGroup
	for i, conn := range c.conns {
		running.Go(func() {
			if err := parts[i].run(ctx, conn, scripts[i], end); err != nil {
				cancel(fmt.Errorf("connection %d: %w", i, err))
			}
		})
	}
	// A connection that waits for an answer learns of the others' failure by its deadline.
	unblock := context.AfterFunc(ctx, func() {
		for _, conn := range c.conns {
			_ = conn.SetDeadline(time.Now()) // a closed connection waits for nothing
		}
	})
	running.Wait()
	elapsed := time.Since(start)
	unblock()

	if err := context.Cause(ctx); err != nil {
		return Result{}, err
	}
	result := Result{Elapsed: elapsed, Latency: new(Histogram)}
	for i := range parts {
		result.Requests += parts[i].requests
		result.Worth.Records += parts[i].worth.Records
		result.Worth.Bytes += parts[i].worth.Bytes
		result.Latency.Merge(&parts[i].latency)
	}
	return result, nil
}

// part is one connection's share of a result.
type part struct {
	requests int64
	worth    Worth
	latency  Histogram
}

func (p *part) run(ctx context.Context, conn *Conn, script Script, end time.Time) error {
	if err := conn.SetDeadline(end.Add(stuck)); err != nil {
		return err
	}
	for now := time.Now(); now.Before(end); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		request, err := script.Next()
		if errors.Is(err, ErrFinished) {
			return nil
		}
		if err != nil {
			return err
		}
		began := time.Now()
		body, err := conn.Do(request)
		if err != nil {
			return err
		}
		now = time.Now()
		p.latency.Record(now.Sub(began))
		worth, err := script.Done(body)
		if err != nil {
			return err
		}
		p.requests++
		p.worth.Records += worth.Records
		p.worth.Bytes += worth.Bytes
	}
	return nil
}

// ErrFinished is what Script.Next returns when the script has no more to say; the connection then rests.
var ErrFinished = errors.New("the script is finished")
