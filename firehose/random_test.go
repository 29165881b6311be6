package firehose

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEveryRecordIsInOneObjectWhateverHappens does things at random (puts, reshards, restarts, buckets that fail
// before, during or after an upload) and looks whether every record was delivered once, in the order of its
// shard within each object, in objects of the size asked for.
func TestEveryRecordIsInOneObjectWhateverHappens(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *env) { liveThrough(t, e, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func liveThrough(t *testing.T, e *env, random *rand.Rand) {
	e.config = Config{Uploads: 1 + random.IntN(3), OpenObjects: 1 + random.IntN(5)}
	shards := e.shards("input", 8)
	open := 1 + random.IntN(4)
	e.sources.set(nil, shards[:open]...)
	s, stop := e.start()
	defer func() { stop() }()
	change := []func(*Definition){buffering(1, random.IntN(120))}
	direct := random.IntN(2) == 0
	if !direct {
		change = append(change, fromStream)
	}
	if random.IntN(2) == 0 {
		change = append(change, compressed)
	}
	e.create(s, clicks, definition(change...))
	var calls atomic.Int64 // uploads come in any order, and must not use random
	trouble := func() error {
		if calls.Add(1)%3 > 0 {
			return errAway
		}
		return nil
	}
	var all []string
	for range 60 {
		switch random.IntN(8) {
		case 0, 1, 2:
			part := lines(len(all), 1+random.IntN(20), 20+random.IntN(100_000))
			all = append(all, part...)
			if direct {
				e.put(s, clicks, part...)
			} else {
				write(t, shards[random.IntN(open)].Log, part...)
			}
		case 3:
			time.Sleep(time.Duration(random.IntN(200_000)) * time.Millisecond)
		case 4:
			stop()
			s, stop = e.start()
		case 5:
			if open < len(shards) {
				open++
				e.sources.set(nil, shards[:open]...)
			}
		case 6:
			e.store.hook(func(context.Context, string, string) error { return trouble() }, func(string, string) error { return trouble() })
		case 7:
			e.store.hook(nil, nil)
		}
	}
	e.store.hook(nil, nil)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if got := e.store.records(); !slices.Equal(all, got) {
		t.Error(cmp.Diff(heads(all), heads(got)))
	}
	for i, o := range e.store.contents() {
		if len(o) >= 1<<20+100_000 {
			t.Errorf("object %d has %d bytes", i, len(o))
		}
		if direct && !slices.IsSorted(strings.Split(strings.TrimSuffix(o, "\n"), "\n")) {
			t.Errorf("object %d is out of order", i)
		}
	}
	if got := e.stats(s, clicks); got.DeliveredRecords != int64(len(all)) || got.LostRecords != 0 || got.BufferedRecords != 0 {
		t.Errorf("%d records, %+v", len(all), got)
	}
}
