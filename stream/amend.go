package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed-462d9463/sluice/internal/catalog"
)

// errUnchanged is for a change of a definition to say that there is nothing to do.
var errUnchanged = errors.New("unchanged")

// amend changes a stream's definition, durably, in whatever does not concern its shards' being open or closed: that
// takes a reshape. The change is made to a copy, again if the stream was changed meanwhile. If it returns an error,
// nothing changes, and amend returns the error.
func (s *Service) amend(ctx context.Context, name Name, change func(d *definition) error) error {
	for {
		st, err := s.lookup(name)
		if err != nil {
			return err
		}
		d := st.definition.clone()
		if err := change(d); errors.Is(err, errUnchanged) {
			return nil
		} else if err != nil {
			return err
		}
		_, err = s.catalog.Put(ctx, name.key(), d.document(), st.revision)
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("change stream %s: %w", name, err)
		}
		_, err = s.refresh(name)
		return err
	}
}

// turns lets one at a time do something with a stream.
type turns struct {
	mu   sync.Mutex // guards busy
	busy map[Name]chan struct{}
}

// take waits for the stream's turn. done must be called once.
func (t *turns) take(ctx context.Context, name Name) (done func(), err error) {
	for {
		t.mu.Lock()
		other, busy := t.busy[name]
		if !busy {
			if t.busy == nil {
				t.busy = map[Name]chan struct{}{}
			}
			mine := make(chan struct{})
			t.busy[name] = mine
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.busy, name)
				t.mu.Unlock()
				close(mine)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
