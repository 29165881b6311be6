package journal

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// The crash campaign.
//
// A run is a directory's history, drawn from a seed: several lives of an engine, one after the other, on a file system
// that can crash. Clients work while the engine lives. A life ends with a close, a kill, a power loss, a failed sync or
// another failed call, in its start too; the disk may be full for a while.
//
// Before every call that changes the disk there is a crash point: the file system is cloned as a power loss, or a kill,
// would leave it, with a random part of what was not synced. An engine must start from the clone, and everything that an
// observer knew must be there: see ledger. That start may crash in turn; what it shows must outlive a power loss right
// then; and it must go on.

var (
	campaignPoints = flag.Int("campaign.points", 3000, "crash points of the campaign")
	campaignSeed   = flag.Uint64("campaign.seed", 1, "seed of the campaign's first run; 0 takes one from the clock")
	campaignReplay = flag.Uint64("campaign.replay", 0, "seed of the one run to repeat")
)

func TestWhatAnObserverKnowsSurvivesACrashAtAnyCall(t *testing.T) {
	if seed := *campaignReplay; seed != 0 {
		// Not all is in the seed's hands: goroutines that run at the same time may meet either way.
		for range 10 {
			synctest.Test(t, func(t *testing.T) { replay(t, seed) })
			if t.Failed() {
				return
			}
		}
		return
	}
	points := *campaignPoints
	if testing.Short() {
		points /= 10
	}
	first := *campaignSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	var next, done atomic.Uint64
	next.Store(first - 1)
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprint("worker", worker), func(t *testing.T) {
			t.Parallel()
			for done.Load() < uint64(points) && !t.Failed() {
				seed := next.Add(1)
				synctest.Test(t, func(t *testing.T) { done.Add(replay(t, seed)) })
			}
		})
	}
	t.Cleanup(func() { t.Logf("%d crash points in %d runs from seed %d", done.Load(), next.Load()-first+1, first) })
}

// replay does one run, and returns how many crash points it had.
func replay(t *testing.T, seed uint64) uint64 {
	r := &history{rng: rand.New(rand.NewPCG(seed, 1)), mem: vfs.NewMem(), ledger: newLedger()}
	if err := r.live(); err != nil {
		t.Errorf("seed %d, life %d, crash point %d: %v\nthe last calls:\n  %s\nto repeat:\n  go test ./shard/journal -run '^%s$' -campaign.replay=%d",
			seed, r.lives, r.points, err, strings.Join(r.trace, "\n  "), strings.Split(t.Name(), "/")[0], seed)
	}
	t.Logf("seed %d: %d crash points, digest of all turns %x", seed, r.points, r.digest)
	return r.points
}

// history is one run of the campaign.
type history struct {
	rng    *rand.Rand
	mem    *vfs.Mem
	ledger *ledger

	lives  int
	points uint64
	trace  []string // the last turns
	digest uint64   // of all turns
}

// ending is how a life ends, unless the clients' work is over before.
type ending string

const (
	closed  ending = "close"
	killed  ending = "kill"
	powered ending = "power loss"
	unsync  ending = "failed sync"
	broken  ending = "failed call"
)

// plan is what is to happen in a life.
type plan struct {
	end   ending
	at    int // the turn of the ending; for a failed sync, the sync
	full  int // the turn at which the disk is full
	room  int // the turn at which it is so no longer
	steps int // of each client
	opts  Options
}

func (r *history) plan() plan {
	endings := []ending{closed, closed, killed, powered, powered, unsync, broken}
	p := plan{end: endings[r.rng.IntN(len(endings))], at: r.rng.IntN(120), steps: 5 + r.rng.IntN(30), full: -1, room: -1}
	switch p.end {
	case unsync:
		p.at /= 3
	case closed:
		p.at = -1
	}
	if r.rng.IntN(3) == 0 {
		p.full = r.rng.IntN(100)
		p.room = p.full + 1 + r.rng.IntN(100)
	}
	p.opts = campaignOptions(r.rng)
	return p
}

// campaignOptions draws options that make every part of the engine turn over quickly. The journal may hold more than the
// cache.
func campaignOptions(rng *rand.Rand) Options {
	pick := func(values ...int64) int64 { return values[rng.IntN(len(values))] }
	return Options{
		Dir: "/data", Logger: quiet(), MaxAppendBytes: biggestAppend, SpaceRetry: 1, eager: rng.IntN(3) == 0, treeFrom: int(pick(1, 3, 64)),
		bufferedFrame: int(pick(1, 300, 0)), lentShare: pick(1, 200, 0), summedShare: pick(1, 600, 0), placeBytes: pick(1, 0), placesBytes: pick(1, 2<<10, 0, 0), aheadShares: int(pick(1, 2, 0)),
		fewPlaces: int(pick(1, 2, 0)),
		Config: Config{
			JournalFileBytes: pick(16<<10, 16<<10, 32<<10), JournalFiles: int(pick(2, 3, 4)), CacheBytes: pick(16<<10, 20<<10, 64<<10),
			SegmentBytes: pick(4<<10, 4<<10, 8<<10), SegmentAge: time.Duration(pick(100, 1000, 100000)) * time.Millisecond,
			MaxOpenFiles: 8, MinFreeBytes: pick(1, 1, 8<<10), Compression: []string{compressionZstd, compressionOff}[rng.IntN(2)],
		},
	}
}

const livesOfARun = 5

// live goes through all lives.
func (r *history) live() error {
	for r.lives < livesOfARun {
		r.lives++
		p := r.plan()
		if r.lives == livesOfARun {
			p.end = closed // whatever came before
		}
		if err := r.oneLife(p); err != nil {
			return fmt.Errorf("%s at %d: %w", p.end, p.at, err)
		}
	}
	return nil
}

// oneLife starts an engine, has the crew work, and ends it as planned.
func (r *history) oneLife(p plan) error {
	disk := vfs.Inject(r.mem)
	turns := newTurns(r.rng)
	disk.Hook(turns.gate)
	p.opts.FS = mutated(disk)
	l := &life{history: r, plan: p, turns: turns, disk: disk, done: make(chan struct{})}
	seed := r.rng.Uint64()
	go func() {
		defer close(l.done)
		l.err = l.work(seed)
	}()
	err := l.drive()
	turns.end(vfs.ErrCrashed)
	<-l.done
	if err != nil {
		return err
	}
	return l.finish()
}

// life is one life of an engine.
type life struct {
	*history
	plan  plan
	turns *turns
	disk  *vfs.Injector

	turn, syncs int
	failed      bool     // a call failed that the plan had fail
	left        *vfs.Mem // what a kill or a power loss left

	done chan struct{} // closed when the engine is closed
	err  error         // of what was promised; set before done is closed
	open error         // of Open and Close; likewise
}

// work is the engine's life as it sees it.
func (l *life) work(seed uint64) error {
	e, err := Open(l.plan.opts)
	if err != nil {
		l.open = err
		return nil
	}
	if err := l.ledger.check(e); err != nil {
		e.Close()
		return fmt.Errorf("after the start: %w", err)
	}
	c := &crew{e: e, turns: l.turns, ledger: l.ledger, ctx: context.Background()}
	c.run(seed, l.plan.steps)
	if l.open = e.Close(); l.open == nil && c.wrong == nil {
		return accounted(e)
	}
	return c.wrong
}

// drive gives turns until the life is over.
func (l *life) drive() error {
	for {
		w := l.turns.next(l.done)
		if w == nil {
			return nil
		}
		l.note(w)
		l.weather()
		if w.call != nil && changesDisk(w.call.Op) {
			l.points++
			if err := l.branch(*w.call); err != nil {
				w.answer <- vfs.ErrCrashed
				return err
			}
		}
		w.answer <- l.verdict(w)
		if l.left != nil {
			return nil
		}
	}
}

// note keeps the last turns for the report.
func (l *life) note(w *turn) {
	l.turn++
	for _, c := range []byte(w.who) {
		l.digest = (l.digest ^ uint64(c)) * 1099511628211
	}
	l.trace = append(l.trace, fmt.Sprintf("life %d turn %d: %s", l.lives, l.turn, w.who))
	if len(l.trace) > 40 {
		l.trace = l.trace[1:]
	}
}

// weather fills the disk, or empties it.
func (l *life) weather() {
	switch l.turn {
	case l.plan.full:
		l.mem.SetCapacity(l.mem.Used() + int64(l.rng.IntN(16<<10)>>(4*l.rng.IntN(3))))
		l.ledger.mu.Lock()
		for _, t := range l.ledger.topics {
			for _, led := range t.logs {
				led.lax = true
			}
		}
		l.ledger.mu.Unlock()
	case l.plan.room:
		l.mem.SetCapacity(0)
	}
}

// verdict ends the life, if it is time, and returns the result of the call, or whether the client goes on.
func (l *life) verdict(w *turn) error {
	due := l.turn >= l.plan.at
	switch l.plan.end {
	case killed:
		if due {
			l.left = l.mem.KillClone()
		}
	case powered:
		if due {
			l.left = l.mem.Crash(l.rng.Uint64())
		}
	case unsync:
		if w.call == nil || !syncsDisk(w.call.Op) {
			return nil
		}
		if l.syncs++; l.syncs == l.plan.at+1 {
			failSync(l.mem, *w.call)
			l.failed = true
			return syscall.EIO
		}
	case broken:
		if due && !l.failed && w.call != nil && changesDisk(w.call.Op) {
			l.failed = true
			return syscall.EIO
		}
	}
	if l.left != nil {
		return vfs.ErrCrashed
	}
	return nil
}

// finish holds the end against the plan, and leaves the disk to the next life.
func (l *life) finish() error {
	switch {
	case l.err != nil:
		return l.err
	case l.left != nil:
		l.mem = l.left
	case l.open != nil && !l.failed && !newAndFull(l.mem, l.open):
		return fmt.Errorf("nothing failed, but %w", l.open)
	default:
		l.mem = l.mem.KillClone()
	}
	return nil
}

// newAndFull tells whether a disk was too full for an engine to begin on.
func newAndFull(mem *vfs.Mem, err error) bool {
	_, begun := mem.Stat("/data/" + formatName)
	return begun != nil && (vfs.IsNoSpace(err) || isFullError(err))
}
