package journal

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// entryOverhead is what an entry counts for in the cache bound beside its frame.
const entryOverhead = 256

// entry is one frame from the moment it is queued until it leaves the cache. As a Pending, it is what Append
// returns.
type entry struct {
	log    *logState // nil for a change of the table
	buf    []byte    // the frame; immutable
	base   shard.Offset
	end    shard.Offset
	millis int64
	at     lsn // of its batch; set when that is written
	batch  *batch
	moved  atomic.Pointer[batch] // where it went when its batch was broken up; set before that batch's done is closed
	err    error                 // set before batch.done, or that of moved, is closed
	apply  func(err error)       // a change of the table: called once, when durable or failed

	flushed bool // it is in its segment, or need not be; guarded by log.mu
	left    bool // buf says which frames in the journal it stands for, see leftover.go; immutable after the start
}

// charge is what the entry counts for in the cache bound.
func (en *entry) charge() int64 {
	if en.left {
		return leftCharge + int64(cap(en.buf))
	}
	return int64(len(en.buf)) + entryOverhead
}

// ordinary tells whether the entry is refused when the disk is full.
func (en *entry) ordinary() bool { return en.log != nil && !en.log.essential.Load() }

// Wait implements shard.Pending.
func (en *entry) Wait(ctx context.Context) (shard.Appended, error) {
	if err := en.batch.wait(ctx); err != nil {
		return shard.Appended{}, err
	}
	for b, next := en.batch, en.moved.Load(); next != nil && next != b; next = en.moved.Load() {
		b = next
		if err := b.wait(ctx); err != nil {
			return shard.Appended{}, err
		}
	}
	if en.err != nil {
		return shard.Appended{}, en.err
	}
	return shard.Appended{First: en.base, Time: time.UnixMilli(en.millis).UTC()}, nil
}

// failedPending is an Append that never got into the queue.
type failedPending struct{ err error }

func (p failedPending) Wait(context.Context) (shard.Appended, error) {
	return shard.Appended{}, p.err
}
