package stream

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const second = int64(time.Second)

func TestAShardTakesAThousandRecordsASecond(t *testing.T) {
	limits, l := AWSLimits(), shardLimiter{}
	count := func(now int64) (n int) {
		for l.takeWrite(&limits, now, 1) {
			n++
		}
		return n
	}
	now := 10 * second
	if got := count(now); got != 1000 {
		t.Errorf("at once: %d", got)
	}
	if got := count(now + second/2); got != 500 {
		t.Errorf("half a second later: %d", got)
	}
	if got := count(now + 60*second); got != 1000 {
		t.Errorf("after a long pause: %d", got)
	}
}

func TestAShardTakesAMebibyteASecond(t *testing.T) {
	limits, l := AWSLimits(), shardLimiter{}
	if !l.takeWrite(&limits, 0, 1<<20) {
		t.Fatal("a whole mebibyte at once is refused")
	}
	if l.takeWrite(&limits, 0, 1) {
		t.Error("a byte more is taken")
	}
	if !l.takeWrite(&limits, second/2, 1<<19) {
		t.Error("half a mebibyte half a second later is refused")
	}
	if !l.takeWrite(&limits, 3*second/2, 1<<20) {
		t.Error("a mebibyte a second later is refused")
	}
}

func TestARecordLargerThanTheLimitPassesAndIsPaidFor(t *testing.T) {
	limits, l := AWSLimits(), shardLimiter{}
	if !l.takeWrite(&limits, 0, 10<<20) {
		t.Fatal("10 MiB are refused on an idle shard")
	}
	for _, now := range []int64{0, second, 8 * second} {
		if l.takeWrite(&limits, now, 1<<19) {
			t.Errorf("taken %v later", time.Duration(now))
		}
	}
	if !l.takeWrite(&limits, 19*second/2, 1<<19) {
		t.Error("refused when the 10 MiB have been paid for")
	}
}

func TestAThrottledRecordTakesNothing(t *testing.T) {
	limits, l := AWSLimits(), shardLimiter{}
	if !l.takeWrite(&limits, 0, 1<<20-10) {
		t.Fatal("refused")
	}
	for range 5000 {
		if l.takeWrite(&limits, 0, 100) {
			t.Fatal("over the limit of bytes")
		}
	}
	if !l.takeWrite(&limits, 0, 10) {
		t.Error("records that were refused used up the limit of records")
	}
	for l.takeWrite(&limits, 0, 0) {
	}
	before := l.writeBytes.tat.Load()
	if l.takeWrite(&limits, 0, 0) || l.writeBytes.tat.Load() != before {
		t.Error("a record over the limit of records used up bytes")
	}
}

func TestFiveReadsASecond(t *testing.T) {
	limits, l := AWSLimits(), shardLimiter{}
	for i := range 5 {
		if !l.takeRead(&limits, 0) {
			t.Fatalf("read %d is refused", i+1)
		}
	}
	if l.takeRead(&limits, 0) {
		t.Error("a sixth read at once")
	}
	if !l.takeRead(&limits, second/5) || l.takeRead(&limits, second/5) {
		t.Error("one read more every 200 ms")
	}
}

func TestAReadOfTenMebibytesHoldsUpTheNextForFiveSeconds(t *testing.T) {
	limits, l := AWSLimits(), shardLimiter{}
	if !l.takeRead(&limits, 0) {
		t.Fatal("refused")
	}
	l.chargeRead(&limits, 0, 10<<20)
	for _, now := range []int64{1, second, 2 * second, 5 * second} {
		if l.takeRead(&limits, now) {
			t.Errorf("read %v later", time.Duration(now))
		}
	}
	if !l.takeRead(&limits, 5*second+1) {
		t.Error("refused after 5 s")
	}
}

func TestNoLimitLimitsNothingAndRemembersNothing(t *testing.T) {
	limits, l := Limits{}, shardLimiter{}
	for range 10_000 {
		if !l.takeWrite(&limits, 0, 1<<20) || !l.takeRead(&limits, 0) {
			t.Fatal("refused")
		}
		l.chargeRead(&limits, 0, 10<<20)
	}
	if l.writeBytes.tat.Load()|l.writeRecords.tat.Load()|l.readBytes.tat.Load()|l.readCalls.tat.Load() != 0 {
		t.Error("something was counted")
	}
}

// Over any stretch of time no more passes than the limit and one burst allow.
func TestNoMoreThanTheLimitPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.IntRange(1, 5000).Draw(t, "limit")
		var m meter
		var now int64
		passed := 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += rapid.Int64Range(0, second/4).Draw(t, "pause")
			n := rapid.IntRange(0, perSecond).Draw(t, "size")
			if m.take(now, cost(n, perSecond)) {
				passed += n
			}
			// What rounding gives away is less than a nanosecond's worth for each passing.
			if most := float64(perSecond) * (1 + float64(now+200)/float64(second)); float64(passed) > most {
				t.Fatalf("%d passed in %v, at most %v may", passed, time.Duration(now), most)
			}
		}
	})
}

func TestConcurrentWritersShareOneLimit(t *testing.T) {
	limits, l := AWSLimits(), shardLimiter{}
	var passed atomic.Int64
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 1000 {
				if l.takeWrite(&limits, second, 10) {
					passed.Add(1)
				}
			}
		})
	}
	writers.Wait()
	if got := passed.Load(); got != 1000 {
		t.Errorf("%d records passed, want 1000", got)
	}
}

func BenchmarkTakeWrite(b *testing.B) {
	limits, l := AWSLimits(), shardLimiter{}
	now := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += int64(2 * time.Millisecond)
		l.takeWrite(&limits, now, 1024)
	}
}
