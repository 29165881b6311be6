package journal

import (
	"sync"
	"time"
)

// background is work beside the main job: when it runs, when it pauses, and when it ends. It has a goroutine only while
// it runs.
type background struct {
	e     *Engine
	stop  chan struct{} // closed when the engine closes
	tasks sync.WaitGroup
	pace  pace

	timerMu sync.Mutex // guards what follows; no other lock is taken under it
	timer   *time.Timer
	stopped bool
}

// later runs work once, after a delay, unless the engine closes before. One may wait at a time.
func (b *background) later(delay time.Duration, work func()) {
	b.timerMu.Lock()
	defer b.timerMu.Unlock()
	if b.stopped {
		return
	}
	b.tasks.Add(1)
	b.timer = time.AfterFunc(delay, func() {
		defer b.tasks.Done()
		work()
	})
}

// close ends what runs and what would, and waits for it.
func (b *background) close() {
	b.timerMu.Lock()
	if !b.stopped {
		b.stopped = true
		close(b.stop)
		if b.timer != nil && b.timer.Stop() {
			b.tasks.Done()
		}
	}
	b.timerMu.Unlock()
	b.tasks.Wait()
}

// pause waits; false if the end of the engine cuts it short.
func (b *background) pause(d time.Duration) bool {
	if d > 0 && !b.e.opts.eager {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-b.stop:
		case <-b.e.failed:
		}
	}
	select {
	case <-b.stop:
		return false
	case <-b.e.failed:
		return false
	default:
		return true
	}
}

// letOthers waits while appends wait for the disk; false if they do for long, or at the end of the engine.
func (b *background) letOthers() bool {
	for wait := 10 * time.Millisecond; b.e.flusher.pressed(); wait *= 2 {
		if wait > 10*time.Second || !b.pause(wait) {
			return false
		}
	}
	return true
}

// pace says how long to pause after a piece of work, so that it takes a bounded part of a core and of the disk.
type pace struct {
	share float64 // of one core
	rate  int64   // bytes a second; 0: any
}

func (p pace) after(bytes int64, took time.Duration) time.Duration {
	pause := time.Duration(float64(took) * (1/p.share - 1))
	if p.rate > 0 {
		pause = max(pause, time.Duration(float64(bytes)/float64(p.rate)*float64(time.Second))-took)
	}
	return pause
}
