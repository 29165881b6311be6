package kafka

import "github.com/seed-462d9463/sluice/shard"

// mark says how many bytes of batches there are between an offset and the mark before it.
type mark struct {
	Offset shard.Offset `json:"at"`
	Bytes  int64        `json:"bytes"`
}

func dropMarks(marks []mark, first shard.Offset) []mark {
	n := 0
	for n < len(marks) && marks[n].Offset <= first {
		n++
	}
	return marks[n:]
}

// retention measures a log, so that its oldest records can go when it exceeds a bound. It is guarded by the log's lock.
type retention struct {
	bound int64 // 0: none
	marks []mark
	open  int64 // bytes since the last mark
}

func (r *retention) note(base shard.Offset, bytes int64) { r.open += bytes }

func (r *retention) trimmed(first shard.Offset) { r.marks = dropMarks(r.marks, first) }
