package shardtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
)

// Harness is one engine under test. Engine and the functions belong together: Reopen and Crash replace the
// engine that Run was given or that they returned last.
type Harness struct {
	// Engine is ready for use. It may hold topics of others: the suite uses names of its own. The suite may
	// close it; the harness must bear that, and cleans up by t.Cleanup.
	Engine shard.Engine

	// Reopen closes the engine in an orderly way and opens it again on what it kept. Nil if the engine keeps
	// nothing.
	Reopen func(t *testing.T) shard.Engine

	// Crash ends the engine without warning, as a power loss would, and opens it again on what was durable.
	// Nil if the harness cannot.
	Crash func(t *testing.T) shard.Engine

	// Fail makes the engine fail as a broken disk would, with the given cause. Nil if the harness cannot.
	// The engine may learn of it only with the next append.
	Fail func(cause error)

	// Surplus is how many bytes of records a log takes at most, beyond its bound, before the engine drops the oldest
	// of them, for as long as records are appended. Zero if the harness cannot say, or nobody has the time to wait
	// for it: then it is not tested that they are dropped, only that none goes that should stay.
	Surplus int64
}

// Run holds an engine against every promise that the comments in package shard make. open is called once for
// each subtest.
//
// It relies on nothing that the contract leaves open: offsets may have gaps between appends, times are the
// engine's own, and a nil key, value or header list is the same as an empty one.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(s *suite)
	}{
		{"RecordsComeBackInTheOrderOfTheirAppends", testOrder},
		{"RecordsOfOneAppendStandTogetherWithOneTime", testAtomicAppend},
		{"CallerMayReuseItsBuffersAfterAppend", testReuseAfterAppend},
		{"OffsetAndTimeOnTheWayInAreIgnored", testIgnoredOnTheWayIn},
		{"AppendOfNothingPanics", testAppendNothing},
		{"EveryPartOfARecordComesBackAsItWas", testContent},
		{"RecordsUpToTheLimitsAreTaken", testLimitsTaken},
		{"TooLargeAppendsLeaveNothing", testTooLarge},
		{"EndOfContextWhileWaitingForAnAppendLeavesTheLogIntact", testPendingContext},
		{"ConcurrentAppendersKeepTheirOwnOrder", testConcurrentAppenders},

		{"WhatReadReturnedNeverChanges", testImmutable},
		{"ReadLimitsByRecordsAndBytes", testReadLimit},
		{"FirstRecordIsReturnedWhateverItsSize", testFirstRecordAlways},
		{"ReadStartsAtOrAfter", testAtOrAfter},
		{"ReadIntoGivesWhatReadGives", testReadInto},
		{"ReadOfNothingIsNoError", testReadNothing},
		{"LogsAreIndependent", testIndependence},
		{"ReadersSeeAGrowingPrefix", testGrowingPrefix},
		{"AtFindsTheFirstRecordNotBefore", testAt},
		{"BoundsNeverDecrease", testBounds},

		{"TrimDropsExactlyWhatIsBefore", testTrim},
		{"TrimIsIdempotentAndNeverGoesBack", testTrimIdempotent},
		{"TrimPastTheEndEmptiesTheLog", testTrimAll},
		{"TrimBesideReadersAndWritersKeepsTheRest", testTrimConcurrently},

		{"WaitReturnsWhenARecordIsThere", testWaitWakes},
		{"WaitEndsWithItsContext", testWaitContext},
		{"WaitDoesNotReturnEarly", testWaitNotEarly},
		{"WaitBehindTrimmedRecordsBlocks", testWaitTrimmed},
		{"WaitEndsWhenTheLogIsDeleted", testWaitDelete},
		{"WaitEndsWhenTheEngineCloses", testWaitClose},

		{"CreateGrowsAndNeverShrinks", testCreateGrows},
		{"TopicNamesFollowKafkasRule", testTopicNames},
		{"OpenFindsOnlyWhatWasCreated", testOpen},
		{"TopicsListsWhatIsThereByName", testTopics},
		{"ConfigureKnowsOnlyWhatWasCreated", testConfigure},
		{"ConfiguredLogsWorkAsOthers", testConfiguredLog},
		{"OldestRecordsGoBeyondTheBoundAndNoOthers", testRetentionBytes},
		{"DeletedTopicIsGone", testDelete},
		{"TopicCreatedAgainStartsEmpty", testDeleteThenCreate},
		{"ClosedEngineSaysSo", testClosed},
		{"CloseWaitsForWhatWasQueued", testCloseWaits},
		{"FailedEngineSaysWhy", testFailed},

		{"ReopenKeepsEverything", testReopenKeeps},
		{"ReopenKeepsTrims", testReopenTrims},
		{"ReopenKeepsTopics", testReopenTopics},
		{"CrashKeepsWhatWasAcknowledged", testCrashKeeps},

		{"BehavesAsTheModel", testModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(&suite{reporter: t, t: t, h: open(t), places: map[shard.Log]place{}})
		})
	}
}

// suite is one subtest with its engine.
type suite struct {
	reporter
	t      *testing.T // of the subtest, for the harness
	h      Harness
	places map[shard.Log]place // of the logs that the test opened
}

// reporter is the test that a failure belongs to: the subtest, or one run of the property test.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Error(args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
	Skip(args ...any)
	Failed() bool
	Cleanup(func())
	Context() context.Context
}

type place struct {
	topic     string
	partition int
}

func (p place) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

var topicCount atomic.Int64

// topic returns a name that no other test uses, not even in another process on the same cluster.
func topic(label string) string {
	return fmt.Sprintf("shardtest.%s.%s.%d", label, strconv.FormatInt(time.Now().UnixNano(), 36), topicCount.Add(1))
}

// patience ends what should have ended by itself long ago. It is no measure of speed.
const patience = 2 * time.Minute

func (s *suite) ctx() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	s.Cleanup(cancel)
	return ctx
}

func (s *suite) create(name string, partitions int) {
	s.Helper()
	if err := s.h.Engine.Create(s.ctx(), name, partitions); err != nil {
		s.Fatalf("create %s with %d partitions: %v", name, partitions, err)
	}
}

func (s *suite) open(name string, partition int) shard.Log {
	s.Helper()
	l, err := s.h.Engine.Open(s.ctx(), name, partition)
	if err != nil {
		s.Fatalf("open %s/%d: %v", name, partition, err)
	}
	s.places[l] = place{name, partition}
	return l
}

// replace puts another engine in the place of this one, by Reopen or Crash, and opens the logs again.
func (s *suite) replace(by func(*testing.T) shard.Engine, logs ...*shard.Log) {
	s.Helper()
	s.h.Engine = by(s.t)
	for _, l := range logs {
		at := s.places[*l]
		*l = s.open(at.topic, at.partition)
	}
}

// log makes a log in a topic of its own.
func (s *suite) log() shard.Log {
	s.Helper()
	name := topic("log")
	s.create(name, 1)
	return s.open(name, 0)
}

// append appends, waits, and returns the records as the log should give them back.
func (s *suite) append(l shard.Log, records ...shard.Record) []shard.Record {
	s.Helper()
	at, err := l.Append(s.ctx(), records).Wait(s.ctx())
	if err != nil {
		s.Fatalf("append: %v", err)
	}
	return expected(at, records)
}

// expected returns copies of records with the offsets and times that an append gave them.
func expected(at shard.Appended, records []shard.Record) []shard.Record {
	out := make([]shard.Record, len(records))
	for i, r := range records {
		out[i] = clone(r)
		out[i].Offset = at.First + shard.Offset(i)
		out[i].Time = at.Time
	}
	return out
}

func clone(r shard.Record) shard.Record {
	c := shard.Record{Offset: r.Offset, Time: r.Time}
	c.Key = append([]byte(nil), r.Key...)
	c.Value = append([]byte(nil), r.Value...)
	for _, h := range r.Headers {
		c.Headers = append(c.Headers, shard.Header{Name: h.Name, Value: append([]byte(nil), h.Value...)})
	}
	return c
}

func cloneAll(records []shard.Record) []shard.Record {
	out := make([]shard.Record, len(records))
	for i, r := range records {
		out[i] = clone(r)
	}
	return out
}

func (s *suite) read(l shard.Log, from shard.Offset, limit shard.Limit) []shard.Record {
	s.Helper()
	got, err := l.Read(s.ctx(), from, limit)
	if err != nil {
		s.Fatalf("read from %d: %v", from, err)
	}
	return got
}

// readAll reads from an offset to the end, however little one Read returns.
func (s *suite) readAll(l shard.Log, from shard.Offset) []shard.Record {
	s.Helper()
	var out []shard.Record
	for {
		got := s.read(l, from, shard.Limit{})
		if len(got) == 0 {
			return out
		}
		out = append(out, got...)
		from = got[len(got)-1].Offset + 1
	}
}

// equal fails unless got is want, contents, offsets and times, and all times have the form that is promised.
func (s *suite) equal(got, want []shard.Record) {
	s.Helper()
	if !slices.EqualFunc(got, want, same) {
		s.Fatalf("records differ (-want +got):\n%s", cmp.Diff(brief(want), brief(got)))
	}
	s.checkTimes(got)
}

func same(a, b shard.Record) bool {
	return a.Offset == b.Offset && a.Time.Equal(b.Time) && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) &&
		slices.EqualFunc(a.Headers, b.Headers, func(a, b shard.Header) bool {
			return a.Name == b.Name && bytes.Equal(a.Value, b.Value)
		})
}

// brief is a record in a form that people can read, and that still differs where records differ.
func brief(records []shard.Record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = fmt.Sprintf("@%d %s key %.40q (%d bytes, crc %x) value %.40q (%d bytes, crc %x)", r.Offset,
			r.Time.Format(time.RFC3339Nano), r.Key, len(r.Key), crc32.ChecksumIEEE(r.Key), r.Value, len(r.Value),
			crc32.ChecksumIEEE(r.Value))
		for _, h := range r.Headers {
			out[i] += fmt.Sprintf(" %.40q=%.40q (%d bytes, crc %x)", h.Name, h.Value, len(h.Value), crc32.ChecksumIEEE(h.Value))
		}
	}
	return out
}

func (s *suite) checkTimes(records []shard.Record) {
	s.Helper()
	for i, r := range records {
		if r.Time.Location() != time.UTC || !r.Time.Equal(r.Time.Truncate(time.Millisecond)) {
			s.Fatalf("record @%d has the time %v, want whole milliseconds in UTC", r.Offset, r.Time)
		}
		if i > 0 && r.Time.Before(records[i-1].Time) {
			s.Fatalf("time goes back from %v to %v at @%d", records[i-1].Time, r.Time, r.Offset)
		}
		// Clocks of brokers may differ from ours, but not by a day: that is a wrong unit or a lost time.
		if d := time.Since(r.Time); d > 24*time.Hour || d < -24*time.Hour {
			s.Fatalf("record @%d arrived at %v, which is not the time of day", r.Offset, r.Time)
		}
	}
}

func (s *suite) checkBounds(l shard.Log, want []shard.Record) {
	s.Helper()
	first, next := l.Bounds()
	if len(want) == 0 {
		if first != next {
			s.Fatalf("bounds of an empty log are %d and %d, want the same", first, next)
		}
		return
	}
	if f, n := want[0].Offset, want[len(want)-1].Offset+1; first != f || next != n {
		s.Fatalf("bounds are %d and %d, want %d and %d", first, next, f, n)
	}
}

// wantErr fails unless err is the given sentinel.
func (s *suite) wantErr(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// value makes a record whose parts all say who it is.
func value(format string, args ...any) shard.Record {
	v := fmt.Sprintf(format, args...)
	return shard.Record{Key: []byte("key of " + v), Value: []byte(v)}
}

// pattern makes n bytes that differ from place to place, so that a shift or a swap shows.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*31 ^ byte(i>>16)*17 ^ seed
	}
	return b
}
