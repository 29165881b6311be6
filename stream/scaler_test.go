package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard/shardtest"
)

// The shards of a simulated stream take fewer records than AWS's, so that simulating is cheap; AWS's rule is scaled
// alike.
const simulatedLimit = 100 // records per second and shard

type simulation struct {
	*world
	name  Name
	rng   *rand.Rand
	begin time.Time
	lines *lines

	peaks              []float64 // by second
	throttled, written map[int]int
	awsThrottled       float64
}

// lines are what a logger has written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func simulate(t *testing.T, change func(*Config), scenario func(s *simulation)) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{rng: rand.New(rand.NewPCG(1, 2)), throttled: map[int]int{}, written: map[int]int{}, lines: new(lines)}
		s.world = &world{t: t, engine: shardtest.NewMemory(), config: DefaultConfig(), logger: slog.New(slog.NewTextHandler(s.lines, nil))}
		records, bytes := simulatedLimit, 0
		s.config.Streams = map[string]StreamConfig{"s": {WriteRecords: &records, WriteBytes: &bytes}}
		s.config.OnDemand.MergeAfter = 5 * time.Minute
		if change != nil {
			change(&s.config)
		}
		s.start()
		t.Cleanup(s.stopAll)
		s.name = s.create("s", CreateOptions{OnDemand: true})
		s.begin = time.Now()
		scenario(s)
	})
}

// second is how many seconds have passed.
func (s *simulation) second() int { return int(time.Since(s.begin) / time.Second) }

// traffic writes so many records a second for a time, with the keys that are drawn.
func (s *simulation) traffic(duration time.Duration, rate float64, draw func() HashKey) {
	const tick = 100 * time.Millisecond
	owed := 0.0
	for end := time.Now().Add(duration); time.Now().Before(end); time.Sleep(tick) {
		owed += rate * tick.Seconds()
		for owed >= 1 {
			n := min(int(owed), MaxPutRecords)
			owed -= float64(n)
			entries := make([]Entry, n)
			for i := range entries {
				key := draw()
				entries[i] = Entry{PartitionKey: "k", HashKey: &key}
			}
			results, err := s.Put(context.Background(), s.name, entries)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, r := range results {
				switch {
				case r.Err == nil:
					s.written[s.second()]++
				case errors.Is(r.Err, ErrThroughputExceeded):
					s.throttled[s.second()]++
				default:
					s.t.Fatal(r.Err)
				}
			}
		}
		s.countAWS(rate, tick)
	}
}

// countAWS counts what AWS would refuse: a stream takes what four shards take, or twice the peak that it had until
// 15 minutes ago (Amazon Kinesis Data Streams Developer Guide, "On-demand Mode").
func (s *simulation) countAWS(rate float64, tick time.Duration) {
	for len(s.peaks) <= s.second() {
		s.peaks = append(s.peaks, 0)
	}
	s.peaks[s.second()] = max(s.peaks[s.second()], rate)
	capacity := float64(OnDemandShards * simulatedLimit)
	for i := 0; i < s.second()-15*60; i++ {
		capacity = max(capacity, 2*s.peaks[i])
	}
	s.awsThrottled += max(0, rate-capacity) * tick.Seconds()
}

// calm fails the test if anything was refused from a second on.
func (s *simulation) calm(from int) {
	s.t.Helper()
	for second, n := range s.throttled {
		if second >= from {
			s.t.Errorf("second %d: %d of %d records refused", second, n, n+s.written[second])
		}
	}
	if s.awsThrottled == 0 {
		s.t.Error("AWS would refuse nothing: the traffic proves nothing")
	}
}

func (s *simulation) anywhere() HashKey { return HashKey{s.rng.Uint64(), s.rng.Uint64()} }

func TestAnOnDemandStreamKeepsUpWithTrafficThatDoubles(t *testing.T) {
	simulate(t, nil, func(s *simulation) {
		for rate := 200.0; rate <= 6400; rate *= 2 {
			s.traffic(5*time.Second, rate, s.anywhere)
		}
		s.traffic(10*time.Second, 6400, s.anywhere)
		s.calm(2)
		if open := s.describe(s.name).OpenShards; open < 64 || open > 320 {
			s.t.Errorf("%d shards for 6400 records a second", open)
		}
	})
}

func TestAnOnDemandStreamTakesASpikeAfterItsFirstSeconds(t *testing.T) {
	simulate(t, nil, func(s *simulation) {
		s.traffic(20*time.Second, 150, s.anywhere)
		s.traffic(20*time.Second, 3000, s.anywhere)
		s.calm(20 + 3)
	})
}

func TestAnOnDemandStreamFollowsTrafficThatDriftsThroughItsKeys(t *testing.T) {
	simulate(t, nil, func(s *simulation) {
		drifting := func() HashKey {
			if s.rng.IntN(5) == 0 {
				return s.anywhere()
			}
			// A sixteenth of the ring, which goes round it in four minutes.
			at := float64(time.Since(s.begin)%(4*time.Minute)) / float64(4*time.Minute)
			return HashKey{uint64(at*math.MaxUint64) + s.rng.Uint64()>>4, s.rng.Uint64()}
		}
		s.traffic(10*time.Second, 300, drifting)
		s.traffic(60*time.Second, 900, drifting)
		s.calm(14)
	})
}

func TestColdNeighborsAreMergedUntilNothingIsLeftToDo(t *testing.T) {
	simulate(t, nil, func(s *simulation) {
		s.traffic(10*time.Second, 1500, s.anywhere)
		peak := s.describe(s.name).OpenShards
		if peak < 15 {
			s.t.Fatalf("%d shards", peak)
		}
		time.Sleep(4 * time.Minute)
		if open := s.describe(s.name).OpenShards; open != peak {
			s.t.Errorf("merged within the cool-down, from %d to %d", peak, open)
		}
		s.restart() // nothing is known of loads now
		time.Sleep(4 * time.Minute)
		if open := s.describe(s.name).OpenShards; open != peak {
			s.t.Errorf("merged within the cool-down after a start, from %d to %d", peak, open)
		}
		time.Sleep(time.Hour)
		if open := s.describe(s.name).OpenShards; open != OnDemandShards {
			s.t.Errorf("%d shards after an hour without traffic", open)
		}
		if _, _, next := s.scaler.take(time.Now()); !next.IsZero() {
			s.t.Errorf("a stream with its fewest shards is to be looked at again %s", time.Until(next))
		}
	})
}

func TestAStreamThatHasHadManyShardsIsNotMergedSoThatItCanGrow(t *testing.T) {
	simulate(t, nil, func(s *simulation) {
		s.traffic(10*time.Second, 1500, s.anywhere)
		s.edit(s.name, func(d *definition) {
			for target, size := 1000, 0; size <= maxMergeLineage; target = 1030 - target {
				p := newPlan(d.Shards)
				p.cover(uniformSplit(target))
				p.stamp(time.Now())
				d.Shards = p.shards
				value, err := encodeLineage(d)
				if err != nil {
					s.t.Fatal(err)
				}
				if size = len(value); target == 1000 {
					size = 0 // ends with 30 shards
				}
			}
		})
		time.Sleep(time.Hour)
		if open := s.describe(s.name).OpenShards; open != 30 {
			s.t.Errorf("%d shards", open)
		}
		if n := s.lines.count("not merged"); n != 1 {
			s.t.Errorf("%d warnings", n)
		}
	})
}

func TestWarmThroughputIsAFloor(t *testing.T) {
	simulate(t, nil, func(s *simulation) {
		if err := s.UpdateWarmThroughput(context.Background(), s.name, 10); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if open := s.describe(s.name).OpenShards; open != 10 {
			s.t.Errorf("%d shards", open)
		}
	})
}

func TestAnOnDemandStreamStopsAtItsBounds(t *testing.T) {
	simulate(t, func(c *Config) { c.OnDemand.MaxShards = 8 }, func(s *simulation) {
		s.traffic(10*time.Second, 2000, s.anywhere)
		if open := s.describe(s.name).OpenShards; open != 8 {
			s.t.Errorf("%d shards, at most 8", open)
		}
		if n := s.lines.count("cannot be scaled"); n != 1 {
			s.t.Errorf("%d warnings", n)
		}
	})
}

func TestOneKeyThatFillsAShardIsToldOfOnce(t *testing.T) {
	simulate(t, nil, func(s *simulation) {
		hot := HashPartitionKey([]byte("hot"))
		s.traffic(20*time.Second, 300, func() HashKey {
			if s.rng.IntN(2) == 0 {
				return hot
			}
			return s.anywhere()
		})
		if n := s.lines.count("one partition key"); n != 1 {
			s.t.Errorf("%d warnings of one key", n)
		}
		if !strings.Contains(s.lines.text.String(), hot.String()) {
			s.t.Error("the warning does not name the key")
		}
		if open := s.describe(s.name).OpenShards; open > 16 {
			s.t.Errorf("%d shards for one key", open)
		}
		const metric = "sluice_stream_on_demand_hot_keys_total"
		if n, err := testutil.GatherAndCount(s.registry, metric); n != 1 || err != nil {
			s.t.Errorf("%d metrics of hot keys, %v", n, err)
		}
		st, err := s.lookup(s.name)
		if err != nil || st.metrics.onDemandHotKeys.Load() != 1 || st.metrics.onDemandSplits.Load() == 0 {
			s.t.Errorf("%+v, %v", st.metrics, err)
		}
		// The others do not suffer: the key has a shard of its own.
		d := s.describe(s.name)
		for i := range d.Shards {
			if sh := &d.Shards[i]; sh.Open() && sh.Range.Contains(hot) && sh.Range.Start != hot {
				s.t.Errorf("the hot key %s shares the shard from %s to %s", hot, sh.Range.Start, sh.Range.End)
			}
		}
	})
}

func TestCutsDivideASampleEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := HashRange{HashKey{1, 0}, HashKey{1 << 40, 5}}
		l := newLoad(0, 0)
		limits := Limits{WriteRecords: 1000}
		for range rapid.IntRange(1, 3*sampleSize).Draw(t, "records") {
			var b [8]byte
			copy(b[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "key"))
			l.add(&limits, 0, HashKey{binary.BigEndian.Uint64(b[:]) >> 20, 7}, 1)
		}
		pieces := rapid.IntRange(2, maxPieces).Draw(t, "pieces")
		weights := l.weights(r)
		keys, parts := cuts(weights, r, pieces)
		if len(keys) == 0 {
			return
		}
		if len(parts) != len(keys)+1 {
			t.Fatalf("%d keys, %d parts", len(keys), len(parts))
		}
		sum, before := 0.0, r.Start
		for i, key := range keys {
			if key.Compare(before) <= 0 || key.Compare(r.End) > 0 {
				t.Fatalf("cut %d at %s, behind %s", i, key, before)
			}
			before = key
		}
		first := dominant(weights).part
		for _, part := range parts {
			sum += part
			if part > 2/float64(pieces)+first {
				t.Fatalf("a piece has %.2f of the load, of %d", part, pieces)
			}
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Fatalf("the parts are %v", parts)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	l, limits := newLoad(0, 0), AWSLimits()
	b.ReportAllocs()
	for b.Loop() {
		l.add(&limits, 0, HashKey{1, 2}, 100)
	}
}
