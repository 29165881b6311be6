package firehose

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/stream/aggregate"
)

// aggregated is a record as the Kinesis Producer Library writes it, with the given data and one partition key.
func aggregated(t testing.TB, key string, data ...string) string {
	t.Helper()
	var records []aggregate.Record
	for _, d := range data {
		records = append(records, aggregate.Record{PartitionKey: []byte(key), Data: []byte(d)})
	}
	record, err := aggregate.Append(nil, records)
	if err != nil {
		t.Fatal(err)
	}
	return string(record)
}

func TestUserRecordsOfADataStreamAreDeliveredEachForItself(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		logs := e.shards("input.1", 1)
		e.sources.set(nil, logs...)
		e.create(s, clicks, definition(fromStream))
		write(t, logs[0].Log, "plain 1", aggregated(t, "k", "user 1", "user 2"), aggregated(t, "k", "user 3"), "plain 2")
		damaged := aggregated(t, "k", "nobody's") + "!"
		write(t, logs[0].Log, damaged)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		want := "plain 1\nuser 1\nuser 2\nuser 3\nplain 2\n" + damaged + "\n"
		if diff := cmp.Diff([]string{want}, e.store.contents()); diff != "" {
			t.Error(diff)
		}
		stats := e.stats(s, clicks)
		if stats.DeliveredRecords != 5 || stats.DeliveredBytes != int64(len(want)) {
			t.Errorf("%+v", stats)
		}
	})
}

// A producer that has not seen a reshard puts user records again that ended up in a shard which does not take them.
func TestUserRecordsOfOtherShardsAreLeftOutAndTold(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		logs := e.shards("input.1", 1)
		logs[0].Range.End = aggregate.HashKey{0x7f, 0xff} // the MD5 of "a" begins with 0c, that of "b" with 92
		e.sources.set(nil, logs...)
		e.create(s, clicks, definition(fromStream))
		write(t, logs[0].Log, aggregated(t, "a", "mine"), aggregated(t, "b", "another's"), "plain")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"mine\nplain\n"}, e.store.contents()); diff != "" {
			t.Error(diff)
		}
		stop()
		if !strings.Contains(e.logs.String(), "do not belong to the shard") {
			t.Error(e.logs.String())
		}
	})
}

// Amazon Data Firehose takes records of the Kinesis Producer Library apart when it reads a data stream ("Use the KPL
// with Amazon Data Firehose"); what is put to it directly it delivers as it is.
func TestDirectPutsAreDeliveredAsTheyAre(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition())
		record := aggregated(t, "k", "user 1", "user 2")
		e.put(s, clicks, record)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{record + "\n"}, e.store.contents()); diff != "" {
			t.Error(diff)
		}
	})
}

// Buffers are cut between records of the log, by what is in the objects, and an object that is made again is the same,
// which the bucket of the tests checks.
func TestUserRecordsAreInOneObjectEachThroughFailuresAndRestarts(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		logs := e.shards("input.1", 2)
		e.sources.set(nil, logs...)
		e.create(s, clicks, definition(fromStream, buffering(1, 60), compressed))
		uploads := 0
		e.store.hook(nil, func(_, _ string) error {
			if uploads++; uploads%3 != 0 {
				return errors.New("the answer is lost")
			}
			return nil
		})
		var want []string
		n := 0
		for round := range 6 {
			for _, log := range logs {
				for range 4 {
					users := lines(n, 30, 4000)
					n += len(users)
					write(t, log.Log, aggregated(t, "k", users...))
					want = append(want, users...)
				}
				plain := fmt.Sprintf("plain %d %d", round, n)
				want = append(want, plain)
				write(t, log.Log, plain)
			}
			time.Sleep(7 * time.Second)
			stop()
			s, stop = e.start()
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		defer stop()
		slices.Sort(want)
		if diff := cmp.Diff(want, e.store.records()); diff != "" {
			t.Error(diff)
		}
		if stats := e.stats(s, clicks); stats.DeliveredObjects < 3 || stats.LostRecords != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestTheSizeOfABufferIsThatOfItsObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := expander{expand: rapid.Bool().Draw(t, "expand"), delimiter: rapid.SampledFrom([]string{"", "\n", "--"}).Draw(t, "delimiter")}
		var records []aggregate.Record
		for range rapid.IntRange(1, 5).Draw(t, "user records") {
			records = append(records, aggregate.Record{
				PartitionKey: []byte(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")),
				Data:         rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "data"),
			})
		}
		value, err := aggregate.Append(nil, records)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "damaged") {
			value[len(value)-1]++
		}
		keys := aggregate.HashRange{End: aggregate.HashKey{rapid.Byte().Draw(t, "end")}}
		size, _ := x.size(value, keys)
		var content bytes.Buffer
		if n, err := x.write(&content, value, keys); err != nil || n != size || int64(content.Len()) != size {
			t.Fatalf("size %d, %d written, %d told, %v", size, content.Len(), n, err)
		}
	})
}
