package journal

import "time"

// Most of what is done behind the acknowledgement is not urgent, and shares the disk with commits, for which somebody
// waits. A pacer spreads it over the time in which the journal fills: of what the free files hold, half may be committed
// until the work is done. Should commits come faster, it waits for nothing; should they stop, it still goes on.
const (
	paceBytes = 1 << 20
	paceWait  = 5 * time.Millisecond // until it looks again: commits should not have to tell it how far they are
	paceWaits = 10                   // for each paceBytes at most, where it may take long and nothing else waits
	paceEven  = 1 << 40              // as room and as work: as fast as commits
)

type pacer struct {
	f     *flusher
	begun lsn
	room  int64 // to be committed meanwhile
	work  int64 // bytes
	waits int   // for each paceBytes at most
	done  int64
	rest  int64 // of done since it was last looked at
}

// unpaced is the step of work that waits for nothing.
func unpaced(int64) {}

// pace begins work of about so many bytes.
func (f *flusher) pace(work int64) *pacer {
	s := f.e.journal.fill()
	room := int64(s.free) * f.e.opts.JournalFileBytes / 2
	return &pacer{f: f, begun: lsn(f.e.durable.Load()), room: room, work: work, waits: 1}
}

// step takes note that so many bytes have been written, and waits if commits should go first.
func (p *pacer) step(bytes int64) {
	p.done += bytes
	if p.rest += bytes; p.rest < paceBytes {
		return
	}
	p.rest = 0
	p.f.behind.gentle = p.ahead()
	for n := 0; n < p.waits && p.ahead() && (n == 0 || !p.f.dropsDue() && !p.f.aheadDue()); n++ {
		time.Sleep(paceWait)
	}
}

// ahead tells whether commits should go first: not when more has been done than was expected, nor while there are none, on a
// full disk, nor when somebody waits.
func (p *pacer) ahead() bool {
	e := p.f.e
	committed := int64(lsn(e.durable.Load()) - p.begun)
	return p.done < p.work && float64(p.done)*float64(p.room) > float64(committed)*float64(p.work) &&
		!e.closing.Load() && !p.f.isFull.Load() && !p.f.hurried()
}

// hurried tells whether the committer, or a start, waits for the flusher.
func (f *flusher) hurried() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stalled || f.hurry || f.replays
}
