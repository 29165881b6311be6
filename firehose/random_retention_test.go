package firehose

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestEveryRecordIsDeliveredOnceOrLostWhateverRetentionDrops has a source that drops records at random, delivered or
// not, and a bucket that fails at random: each record is in one object at most, all that were not dropped are in one,
// and all are counted.
func TestEveryRecordIsDeliveredOnceOrLostWhateverRetentionDrops(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *env) { loseSome(t, e, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func loseSome(t *testing.T, e *env, random *rand.Rand) {
	e.config = Config{Uploads: 1 + random.IntN(3), OpenObjects: 1 + random.IntN(5)}
	shards := e.shards("input", 3)
	e.sources.set(nil, shards...)
	s, stop := e.start()
	defer func() { stop() }()
	e.create(s, clicks, definition(fromStream, buffering(1, random.IntN(120))))
	var calls atomic.Int64 // uploads come in any order, and must not use random
	trouble := func() error {
		if calls.Add(1)%3 > 0 {
			return errAway
		}
		return nil
	}
	written := make([][]string, len(shards)) // by shard, and there by offset
	total := 0
	for range 80 {
		i := random.IntN(len(shards))
		switch random.IntN(8) {
		case 0, 1, 2:
			part := lines(total, 1+random.IntN(20), 20+random.IntN(100_000))
			total += len(part)
			written[i] = append(written[i], part...)
			write(t, shards[i].Log, part...)
		case 3:
			time.Sleep(time.Duration(random.IntN(200_000)) * time.Millisecond)
		case 4:
			stop()
			s, stop = e.start()
		case 5:
			e.store.hook(func(context.Context, string, string) error { return trouble() }, func(string, string) error { return trouble() })
		case 6:
			e.store.hook(nil, nil)
		case 7:
			first, next := shards[i].Log.Bounds()
			trim(t, shards[i], first+(next-first)*3/4)
		}
	}
	e.store.hook(nil, nil)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	delivered := e.store.records()
	if unique := slices.Compact(slices.Clone(delivered)); len(unique) != len(delivered) {
		t.Errorf("%d records were delivered more than once", len(delivered)-len(unique))
	}
	for i := range shards {
		first, _ := shards[i].Log.Bounds()
		for _, record := range written[i][first:] {
			if _, ok := slices.BinarySearch(delivered, record); !ok {
				t.Errorf("%s… of shard %d was neither dropped nor delivered", record[:14], i)
			}
		}
	}
	got := e.stats(s, clicks)
	if got.DeliveredRecords+got.LostRecords != int64(total) || got.BufferedRecords != 0 || int64(len(delivered)) > got.DeliveredRecords {
		t.Errorf("%d records, %d of them in objects, %+v", total, len(delivered), got)
	}
}
