package firehose

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A lane is a number of places for uploads. Who finds none waits; freed places go to the waiting users in turn,
// so that a delivery stream with much to upload does not hold up one with little.
type lane struct {
	mu      sync.Mutex
	free    int                     // 0 whenever someone waits
	turns   []any                   // users with someone waiting, each once, next first
	waiting map[any][]chan struct{} // closed when the place is theirs; no empty lists
}

func newLane(places int) *lane { return &lane{free: places, waiting: map[any][]chan struct{}{}} }

// try takes a place if one is free.
func (l *lane) try() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free == 0 {
		return false
	}
	l.free--
	return true
}

// acquire takes a place for user, and waits for one until ctx ends.
func (l *lane) acquire(ctx context.Context, user any) error {
	if l.try() {
		return nil
	}
	l.mu.Lock()
	if l.free > 0 { // freed since
		l.free--
		l.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	if len(l.waiting[user]) == 0 {
		l.turns = append(l.turns, user)
	}
	l.waiting[user] = append(l.waiting[user], granted)
	l.mu.Unlock()
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting[user], granted); i >= 0 {
		l.leave(user, i)
	} else {
		l.give() // it was granted at the last moment
	}
	return ctx.Err()
}

func (l *lane) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.give()
}

// give hands a place to the next in turn. l.mu is held.
func (l *lane) give() {
	if len(l.turns) == 0 {
		l.free++
		return
	}
	user := l.turns[0]
	close(l.waiting[user][0])
	l.leave(user, 0)
	if len(l.waiting[user]) > 0 { // to the back
		l.turns = append(l.turns[1:], user)
	}
}

// leave takes the i-th of a user's waiting ones out. l.mu is held.
func (l *lane) leave(user any, i int) {
	if l.waiting[user] = slices.Delete(l.waiting[user], i, i+1); len(l.waiting[user]) == 0 {
		delete(l.waiting, user)
		l.turns = slices.DeleteFunc(l.turns, func(u any) bool { return u == user })
	}
}

// lanes are the places of a service. Uploads start in the fast lane. One that takes long goes over to the slow
// lane, if there is room, and one that repeats a failure starts there: so a bucket that hangs or is away takes
// no place from those that work.
type lanes struct{ fast, slow *lane }

const (
	slowAfter        = 5 * time.Second
	slowPlacesFactor = 4
)

func newLanes(places int) *lanes {
	return &lanes{fast: newLane(places), slow: newLane(slowPlacesFactor * places)}
}

// permit is a place that an upload has.
type permit struct {
	lanes *lanes

	mu    sync.Mutex
	lane  *lane       // nil once released
	timer *time.Timer // to go over to the slow lane; nil when there from the start
}

// acquire takes a place for an upload of user. failing tells whether user's uploads fail at the time.
func (l *lanes) acquire(ctx context.Context, user any, failing func() bool) (*permit, error) {
	if !failing() {
		if err := l.fast.acquire(ctx, user); err != nil {
			return nil, err
		}
		if !failing() {
			p := &permit{lanes: l, lane: l.fast}
			p.mu.Lock() // the timer may fire before it is kept
			defer p.mu.Unlock()
			p.timer = time.AfterFunc(slowAfter, p.changeOver)
			return p, nil
		}
		l.fast.release() // they began to fail while this one waited
	}
	if err := l.slow.acquire(ctx, user); err != nil {
		return nil, err
	}
	return &permit{lanes: l, lane: l.slow}, nil
}

// changeOver moves to the slow lane, or tries again later.
func (p *permit) changeOver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lane == nil {
		return
	}
	if !p.lanes.slow.try() {
		p.timer.Reset(slowAfter)
		return
	}
	p.lane = p.lanes.slow
	p.lanes.fast.release()
}

func (p *permit) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.lane.release()
	p.lane = nil
}
