package kafka

import "github.com/seed-462d9463/sluice/shard"

// mark is the beginning of a part of a log. Bytes is what the batches between the mark before it and this one take.
type mark struct {
	Offset shard.Offset `json:"at"`
	Bytes  int64        `json:"bytes"`
}

// retention measures a log with a bound on its size, so that its oldest part can go. Kafka does not tell how many bytes
// there are from an offset on, so marks are kept in the control topic, one for each sixteenth of the bound. What was
// there before the first mark counts for nothing, and goes when enough has come behind it. It is guarded by the log's
// lock.
type retention struct {
	bound int64 // 0: none
	marks []mark
	open  int64 // bytes since the last mark
}

const leastPart = 256 << 10

// note counts a batch, and returns the mark that it begins, if it is time for one.
func (r *retention) note(base shard.Offset, bytes int64) []mark {
	if r.bound <= 0 {
		return nil
	}
	var begun []mark
	if r.open >= max(r.bound/16, leastPart) {
		begun = []mark{{Offset: base, Bytes: r.open}}
		r.marks = append(r.marks, begun...)
		r.open = 0
	}
	r.open += bytes
	return begun
}

// excess returns before which offset the log may be trimmed so that the bound is still left; 0: before none.
func (r *retention) excess() shard.Offset {
	behind := r.open
	for i := len(r.marks) - 1; i >= 0; i-- {
		if behind >= r.bound {
			return r.marks[i].Offset
		}
		behind += r.marks[i].Bytes
	}
	return 0
}

func (r *retention) trimmed(first shard.Offset) { r.marks = dropMarks(r.marks, first) }

// dropMarks drops the marks of what was trimmed. The one where the log begins stays: what comes behind it is counted
// by the others.
func dropMarks(marks []mark, first shard.Offset) []mark {
	n := 0
	for n < len(marks) && marks[n].Offset < first {
		n++
	}
	return marks[n:]
}

// keepWithin says in the control topic how big the log has become, and trims it if that is too much.
func (l *logState) keepWithin(begun []mark) {
	if len(begun) == 0 {
		return
	}
	l.mu.Lock()
	before := l.retention.excess()
	if before <= l.first {
		before = 0
	}
	l.mu.Unlock()
	c := l.e.control
	c.mu.Lock()
	defer c.mu.Unlock()
	// Nobody waits for it; if it fails, the engine has.
	_, _ = c.queueChange(change{Kind: changeLog, Log: &logChange{
		Topic: l.topic.name, ID: l.topic.id, Partition: l.partition, First: before, Marks: begun,
	}}, func(err error) {
		if err == nil && before > 0 {
			l.e.metrics.retainedBy.Inc()
			l.trimmed(before)
		}
	})
}
