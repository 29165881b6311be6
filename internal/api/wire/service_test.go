package wire

import (
	"context"
	"errors"
	"testing"
)

// kept is an output that keeps memory for the next time.
type kept struct {
	memory []byte
	resets int
}

func (k *kept) Reset()           { k.resets++ }
func (k *kept) MaxBytes() int64  { return 100 }
func (k *kept) HeldBytes() int64 { return int64(cap(k.memory)) }

// scarce gives memory while there is some.
type scarce struct {
	none bool
	held []int64
}

var errNone = errors.New("no memory")

func (s *scarce) Hold(_ context.Context, bytes int64) error {
	if s.held = append(s.held, bytes); s.none {
		return errNone
	}
	return nil
}

func (s *scarce) Grow(_ context.Context, size int) ([]byte, error) { return make([]byte, 0, size), nil }

func TestWhoWaitsForMemoryHoldsNoneThatOthersHaveLeft(t *testing.T) {
	var outputs []*kept
	operation := NewOperation("Read", 1<<10, func(_ context.Context, _ Caller, _ *Nothing, out *kept) error {
		outputs = append(outputs, out)
		if out.memory == nil {
			out.memory = make([]byte, 70)
		}
		return nil
	})
	serve := func(m *scarce) error {
		_, err := operation.Serve(t.Context(), Exchange{Codec: JSON{}, Body: []byte("{}"), Memory: m})
		return err
	}
	plenty := &scarce{}
	if err := serve(plenty); err != nil {
		t.Fatal(err)
	}
	if got := plenty.held; len(got) != 3 || got[0] != 100 || got[1] != 70 || got[2] != 0 {
		t.Errorf("held %v, want what it may need, what it has needed, and nothing", got)
	}
	resets := outputs[0].resets
	if err := serve(&scarce{none: true}); !errors.Is(err, errNone) {
		t.Fatal(err)
	}
	if outputs[0].resets != resets || len(outputs) != 1 {
		t.Error("an output was taken, though there was no room for it")
	}
}
