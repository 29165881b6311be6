package firehose

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks"
)

func TestABucketThatIsBackAfterALongTimeGetsEverything(t *testing.T) {
	for name, cause := range map[string]error{
		"passing": errAway, "permanent": sinks.Permanent(errors.New("access denied")),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *env) {
				s, stop := e.start()
				defer stop()
				e.create(s, clicks, definition(compressed))
				e.store.fail(cause)
				var all []string
				for hour := range 48 {
					part := lines(hour*100, 100, 500)
					all = append(all, part...)
					e.put(s, clicks, part...)
					time.Sleep(time.Hour)
				}
				stats := e.stats(s, clicks)
				if stats.OpenObjects != 4 {
					t.Errorf("%d objects are open, want 4", stats.OpenObjects)
				}
				if stats.BufferedRecords != 4800 || stats.Lag(time.Now()) < 48*time.Hour || stats.LastError == nil {
					t.Errorf("while the bucket is away: %+v", stats)
				}
				e.store.fail(nil)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if diff := cmp.Diff(all, e.store.records()); diff != "" {
					t.Error(diff)
				}
				stats = e.stats(s, clicks)
				if stats.LastError != nil || stats.BufferedRecords != 0 || stats.Lag(time.Now()) != 0 || stats.Failures == 0 {
					t.Errorf("when it is back: %+v", stats)
				}
				stop()
				log := e.logs.String()
				if n := strings.Count(log, "level=WARN"); n == 0 || n > 20 {
					t.Errorf("two days without a bucket made %d lines in the log", n)
				}
				if n := strings.Count(log, "works again"); n != 1 {
					t.Errorf("the end of the trouble was told %d times", n)
				}
			})
		})
	}
}

// TestMemoryDoesNotGrowWithTheBacklog has the records on a log that makes them up, so that all memory is the
// service's own.
func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		e.store.fail(errAway)
		endless := &endlessLog{value: make([]byte, 100<<10)}
		e.sources.set(nil, Log{Log: endless})
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream, buffering(1, 60)))
		heap := func() uint64 {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		endless.grow(1000)
		time.Sleep(time.Hour)
		before := heap()
		for range 100 {
			endless.grow(100_000) // 10 GiB each
			time.Sleep(time.Minute)
		}
		after := heap()
		if after > before+1<<20 {
			t.Errorf("heap grew from %d to %d bytes with the backlog", before, after)
		}
		if got := e.stats(s, clicks); got.OpenObjects != 4 || got.BufferedRecords != 10_001_000 {
			t.Errorf("%+v", got)
		}
	})
}

// endlessLog has as many equal records as it is told.
type endlessLog struct {
	shard.Log
	value []byte
	next  atomic.Int64
}

func (l *endlessLog) grow(n int64) { l.next.Add(n) }

func (l *endlessLog) Bounds() (first, next shard.Offset) { return 0, shard.Offset(l.next.Load()) }

func (l *endlessLog) Read(_ context.Context, from shard.Offset, limit shard.Limit) (out []shard.Record, _ error) {
	_, next := l.Bounds()
	for at := from; at < next && len(out) < 1+limit.Bytes/len(l.value); at++ {
		out = append(out, shard.Record{Offset: at, Time: time.Now(), Value: l.value})
	}
	return out, nil
}

func (l *endlessLog) Wait(ctx context.Context, from shard.Offset) error {
	for shard.Offset(l.next.Load()) <= from {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return nil
}

func TestAFailingBucketDoesNotHinderOthers(t *testing.T) {
	for name, before := range map[string]func(context.Context) error{
		"away":  func(context.Context) error { return errAway },
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *env) {
				e.config.Uploads = 2
				e.store.before = func(ctx context.Context, bucket, _ string) error {
					if bucket == "bad" {
						return before(ctx)
					}
					return nil
				}
				s, stop := e.start()
				defer stop()
				for i := range 10 {
					bad := Name{Account: "000000000000", Region: "eu-west-1", Name: fmt.Sprintf("bad-%d", i)}
					e.create(s, bad, definition(buffering(1, 0), func(d *Definition) { d.S3.BucketARN = "arn:aws:s3:::bad" }))
					for range 4 {
						e.put(s, bad, "x")
						time.Sleep(time.Second)
					}
				}
				time.Sleep(5 * time.Minute)
				e.create(s, clicks, definition(buffering(1, 0)))
				var all []string
				for i := range 100 {
					all = append(all, fmt.Sprintf("%04d", i))
					e.put(s, clicks, all[i])
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if diff := cmp.Diff(all, e.store.records()); diff != "" {
					t.Errorf("the good delivery stream was held up: %s", diff)
				}
			})
		})
	}
}

func TestAnUploadWhoseAnswerWasLostIsRepeatedToTheSameKey(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		failures := 3
		e.store.after = func(string, string) error {
			if failures--; failures >= 0 {
				return errors.New("connection reset")
			}
			return nil
		}
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(compressed, func(d *Definition) {
			d.S3.Prefix, d.S3.ErrorOutputPrefix = "!{firehose:random-string}/", "errors/"
		}))
		e.put(s, clicks, "a", "b")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"a\nb\n"}) {
			t.Fatalf("objects: %q", got)
		}
		if e.store.puts != 4 {
			t.Errorf("%d uploads, want 4", e.store.puts)
		}
	})
}

func TestManyDeliveryStreamsDeliverSideBySide(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		var all []string
		for i := range 20 {
			name := Name{Account: "000000000000", Region: "eu-west-1", Name: fmt.Sprintf("s%02d", i)}
			e.create(s, name, definition(compressed, buffering(1, 10+i)))
			part := lines(i*1000, 1000, 1100)
			all = append(all, part...)
			e.put(s, name, part...)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(all, e.store.records()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDeliveryGoesOnWhenAFullDiskHasRoomAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		full := &fullDisk{Engine: e.engine}
		s, stop := e.startOn(full, e.store)
		defer stop()
		e.create(s, clicks, definition(buffering(1, 0)))
		e.put(s, clicks, "a")
		full.set(true)
		if _, err := s.Put(t.Context(), clicks, [][]byte{[]byte("b")}); !errors.Is(err, shard.ErrNoSpace) {
			t.Fatalf("error %v", err)
		}
		time.Sleep(time.Hour)
		full.set(false)
		e.put(s, clicks, "c")
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "c"}, e.store.records()); diff != "" {
			t.Error(diff)
		}
	})
}

// fullDisk is an engine whose disk is full at times.
type fullDisk struct {
	shard.Engine
	mu   sync.Mutex
	full bool
}

func (f *fullDisk) set(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
}

func (f *fullDisk) Open(ctx context.Context, topic string, partition int) (shard.Log, error) {
	l, err := f.Engine.Open(ctx, topic, partition)
	return &fullLog{Log: l, disk: f}, err
}

type fullLog struct {
	shard.Log
	disk *fullDisk
}

func (l *fullLog) Append(ctx context.Context, records []shard.Record) shard.Pending {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if l.disk.full {
		return crashPending(func(context.Context) (shard.Appended, error) { return shard.Appended{}, shard.ErrNoSpace })
	}
	return l.Log.Append(ctx, records)
}
