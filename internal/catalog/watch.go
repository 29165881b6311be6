package catalog

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
)

// Event is a change of one entry. Of a deleted one, Entry has the key and the last revision, and no value.
type Event struct {
	Entry   Entry
	Deleted bool
}

// Watcher yields the changes of one kind, in the order of the log, beginning with what is there. Changes of
// one key that were not yet taken become one, the newest; an entry that came and went in between is not
// mentioned. So a watcher that falls behind holds no more than the catalog itself and what it has seen of it.
// It is for one goroutine.
type Watcher struct {
	c     *Catalog
	kind  string
	ready chan struct{} // has a token when events were added

	mu     sync.Mutex
	order  *list.List // of *pendingEvent, oldest change first
	byKey  map[Key]*list.Element
	closed chan struct{}
}

type pendingEvent struct {
	Event
	known bool // the watcher has seen the key before, so that it must hear of its end
}

// Watch begins with every entry of the kind, and goes on with its changes until the Watcher or the catalog is
// closed. The caller must close it.
func (c *Catalog) Watch(kind string) *Watcher {
	w := &Watcher{
		c: c, kind: kind, ready: make(chan struct{}, 1), order: list.New(), byKey: map[Key]*list.Element{}, closed: make(chan struct{}),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	entries := c.state.all(kind)
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, e := range entries {
		w.push(Event{Entry: e}, false)
	}
	if c.watchers[kind] == nil {
		c.watchers[kind] = map[*Watcher]struct{}{}
	}
	c.watchers[kind][w] = struct{}{}
	return w
}

// push adds a change; existed says whether there was an entry before it.
func (w *Watcher) push(e Event, existed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &pendingEvent{Event: e, known: existed}
	if old, ok := w.byKey[e.Entry.Key]; ok {
		// What is pending was not seen: it does not make the key known.
		p.known = old.Value.(*pendingEvent).known
		w.order.Remove(old)
		delete(w.byKey, e.Entry.Key)
		if e.Deleted && !p.known {
			return
		}
	}
	w.byKey[e.Entry.Key] = w.order.PushBack(p)
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *Watcher) take() (Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	front := w.order.Front()
	if front == nil {
		return Event{}, false
	}
	p := w.order.Remove(front).(*pendingEvent)
	delete(w.byKey, p.Entry.Key)
	return p.Event, true
}

// Next waits for the next change. It fails when ctx ends, with ErrClosed after Close, and with the catalog's
// error when that has ended.
func (w *Watcher) Next(ctx context.Context) (Event, error) {
	for {
		select {
		case <-w.closed:
			return Event{}, ErrClosed
		case <-w.c.failed:
			return Event{}, w.c.Err()
		default:
		}
		if e, ok := w.take(); ok {
			return e, nil
		}
		select {
		case <-w.ready:
		case <-w.closed:
		case <-w.c.failed:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Close ends the watcher, also a Next that waits. It may be called more than once.
func (w *Watcher) Close() {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	select {
	case <-w.closed:
		return
	default:
	}
	close(w.closed)
	delete(w.c.watchers[w.kind], w)
	if len(w.c.watchers[w.kind]) == 0 {
		delete(w.c.watchers, w.kind)
	}
}

// notify tells the watchers of a change. Catalog.mu is held.
func (c *Catalog) notify(e Event, existed bool) {
	for w := range c.watchers[e.Entry.Key.Kind] {
		w.push(e, existed)
	}
}
