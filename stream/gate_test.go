package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestAGateIsDrainedWhenTheLastOneInsideHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		for range 2 {
			if g.enter() != nil {
				t.Fatal("an open gate lets nobody in")
			}
		}
		g.shut()
		blocked := g.enter()
		if blocked == nil {
			t.Fatal("a gate that is shut lets somebody in")
		}
		drained := make(chan error, 1)
		go func() { drained <- g.drain(context.Background()) }()
		for range 2 {
			synctest.Wait()
			select {
			case err := <-drained:
				t.Fatalf("drained while somebody is inside: %v", err)
			default:
			}
			g.leave()
		}
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		select {
		case <-blocked:
			t.Fatal("those outside go on before the outcome is known")
		default:
		}
		g.reopen()
		<-blocked
		if g.enter() != nil {
			t.Fatal("a gate that was opened again lets nobody in")
		}
		g.shut()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := g.drain(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("drained with somebody inside: %v", err)
		}
		g.leave()
		if err := g.drain(ctx); err != nil {
			t.Fatal(err)
		}
		g.settle()
		select {
		case <-g.enter():
		default:
			t.Fatal("the gate of a closed shard has to send everybody on")
		}
	})
}

func BenchmarkGate(b *testing.B) {
	var g gate
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if g.enter() == nil {
				g.leave()
			}
		}
	})
}
