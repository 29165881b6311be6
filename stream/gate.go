package stream

import (
	"context"
	"sync/atomic"
)

// gate keeps appends out of a shard that is being closed, and tells when those inside have left. Passing it costs
// an atomic addition on the way in and one on the way out.
//
// Always:
//  1. Whoever is inside has an append whose outcome is not known, or is about to begin one.
//  2. A shard is closed in the catalog only after its gate was shut and nobody was inside any more: what its log
//     holds then is all that it will ever hold, and nothing goes to a child before.
//  3. The gate of a closed shard stays shut, so that a writer with an old shard map finds out.
type gate struct {
	state   atomic.Int64 // how many are inside, plus shut
	closing atomic.Pointer[closing]
}

const shut = 1 << 62

// closing is one attempt to close a shard.
type closing struct {
	drained chan struct{} // holds a token when nobody may be inside any more
	over    chan struct{} // closed when the outcome is known: those outside look at the catalog again
}

// enter lets an append in, or returns what to wait for before the stream is looked up again.
func (g *gate) enter() (blocked <-chan struct{}) {
	if g.state.Add(1) < shut {
		return nil
	}
	c := g.closing.Load() // set before the gate was shut
	g.leave()
	return c.over
}

// leave is for those whom enter let in, when the outcome of the append is known.
func (g *gate) leave() {
	if g.state.Add(-1) == shut {
		select {
		case g.closing.Load().drained <- struct{}{}:
		default:
		}
	}
}

// shut lets nobody in from now on. One at a time may do it.
func (g *gate) shut() {
	g.closing.Store(&closing{drained: make(chan struct{}, 1), over: make(chan struct{})})
	g.state.Add(shut)
}

// drain waits until nobody is inside a gate that is shut.
func (g *gate) drain(ctx context.Context) error {
	for g.state.Load() != shut {
		select {
		case <-g.closing.Load().drained:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// reopen ends an attempt that came to nothing.
func (g *gate) reopen() {
	c := g.closing.Load()
	g.state.Add(-shut)
	close(c.over)
}

// settle ends an attempt that succeeded: the gate stays shut.
func (g *gate) settle() { close(g.closing.Load().over) }
