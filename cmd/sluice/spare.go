package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// spareMemory gives the system back what load has left, once there is none any more: else it stays until Go collects garbage
// for its own reasons, which takes minutes when little is allocated.
//
// It looks at nothing while nothing is collected, so an idle process does not wake for it. A collection makes it look
// every quietTime until little has been allocated in one. Then it gives back, if much has been allocated since it did
// before.
type spareMemory struct {
	allocated func() uint64 // bytes, since the process began
	giveBack  func()

	mu      sync.Mutex // guards what follows
	looks   *time.Timer
	looking bool
	stopped bool
	seen    uint64 // allocated when it last looked
	given   uint64 // allocated when memory was last given back
}

const (
	quietTime  = 15 * time.Second
	quietBytes = 8 << 20 // allocated in quietTime
	muchBytes  = 128 << 20
)

// newSpareMemory watches the process until it is stopped.
func newSpareMemory() *spareMemory {
	s := &spareMemory{allocated: allocatedBytes, giveBack: func() {
		runtime.GC() // what is kept for use again goes when it has not been used between two collections
		debug.FreeOSMemory()
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks = time.AfterFunc(quietTime, s.look)
	s.looking = true
	s.watch()
	return s
}

func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// watch has collected called after every collection.
func (s *spareMemory) watch() {
	// Of a pointer, since small things without one live and die together.
	runtime.AddCleanup(new(*byte), func(s *spareMemory) {
		if s.collected() {
			s.watch()
		}
	}, s)
}

// collected takes note of a collection; false if it should not be told of another.
func (s *spareMemory) collected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.looking && !s.stopped {
		s.looking = true
		s.seen = s.allocated()
		s.looks.Reset(quietTime)
	}
	return !s.stopped
}

// look gives memory back if there is little to do.
func (s *spareMemory) look() {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	now := s.allocated()
	if now-s.seen > quietBytes {
		s.seen = now
		s.looks.Reset(quietTime)
		s.mu.Unlock()
		return
	}
	s.looking = false
	much := now-s.given > muchBytes
	if much {
		s.given = now
	}
	s.mu.Unlock()
	if much {
		s.giveBack()
	}
}

func (s *spareMemory) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.looks.Stop()
}
