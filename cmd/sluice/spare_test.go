package main

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// spare is a process with a little life of its own.
func spare(t *testing.T) (s *spareMemory, allocated *atomic.Uint64, given *atomic.Int32) {
	allocated, given = new(atomic.Uint64), new(atomic.Int32)
	s = &spareMemory{allocated: allocated.Load, giveBack: func() { given.Add(1) }}
	s.looks = time.AfterFunc(time.Hour, s.look)
	t.Cleanup(s.stop)
	return s, allocated, given
}

func TestMemoryIsGivenBackOnceAfterLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, allocated, given := spare(t)
		for round := int32(1); round <= 2; round++ {
			for range 10 {
				allocated.Add(muchBytes)
				s.collected()
				time.Sleep(quietTime / 3)
			}
			if n := given.Load(); n != round-1 {
				t.Errorf("given back %d times, under load", n)
			}
			time.Sleep(3 * quietTime)
			s.collected() // its own collection
			time.Sleep(10 * quietTime)
			if n := given.Load(); n != round {
				t.Errorf("given back %d times after %d loads", n, round)
			}
			s.mu.Lock()
			looking := s.looking
			s.mu.Unlock()
			if looking {
				t.Error("an idle process wakes")
			}
		}
	})
}

func TestLittleIsNotGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, allocated, given := spare(t)
		allocated.Add(muchBytes / 2)
		s.collected()
		time.Sleep(3 * quietTime)
		if given.Load() != 0 {
			t.Error("given back for nothing")
		}
	})
}

func TestCollectionsAreNoticed(t *testing.T) {
	s := newSpareMemory()
	defer s.stop()
	for range 3 { // it goes on
		s.mu.Lock()
		s.looking = false
		s.mu.Unlock()
		for noticed := false; !noticed; {
			runtime.GC()
			runtime.Gosched()
			s.mu.Lock()
			noticed = s.looking
			s.mu.Unlock()
		}
	}
}
