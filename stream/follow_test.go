package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/seed-462d9463/sluice/shard"
)

func TestReadingGoesOnAtOrAfterThePlaceBehindARecord(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	d, err := w.Describe(name)
	if err != nil {
		t.Fatal(err)
	}
	sh := &d.Shards[0]
	values := []string{"a", "b", "c"}
	for _, value := range values {
		w.put(name, text(value))
	}
	result := w.read(name, w.startAt(name, sh.ID, StartAt{Type: TrimHorizon}))
	for _, how := range []StartType{AtSequence, AfterSequence} {
		for n := range len(values) + 1 {
			var place SequenceNumber
			if n == 0 {
				place = sh.Behind(0, result.Records[0].Time)
			} else {
				place = sh.Behind(result.Records[n-1].Offset+1, result.Records[n-1].Time)
			}
			got := w.values(name, sh.ID, StartAt{Type: how, Sequence: place})
			if len(got) != len(values)-n || n < len(values) && got[0] != values[n] {
				t.Errorf("%v the place behind %d records: %q", how, n, got)
			}
		}
	}
	_, err = w.Start(t.Context(), name, sh.ID, StartAt{Type: AtSequence, Sequence: sh.Behind(result.Next.Offset+1, result.Records[0].Time)})
	if !errors.Is(err, ErrInvalidPosition) {
		t.Errorf("behind a record that is not there yet: %v", err)
	}
}

func TestWhoWaitsIsToldOfRecordsAndOfTheEndOfTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, func(c *Config) { c.Limits = limitsAWS })
		name := w.create("s", CreateOptions{Shards: 1})
		at := w.startAt(name, ShardID(0), StartAt{Type: Latest})
		wait := func() chan error {
			told := make(chan error, 1)
			go func() { told <- w.Wait(context.Background(), name, at) }()
			synctest.Wait()
			return told
		}
		told := wait()
		if len(told) != 0 {
			t.Fatal("told of nothing")
		}
		w.put(name, text("a"))
		if err := <-told; err != nil {
			t.Fatal(err)
		}
		for range 100 { // more than GetRecords may be called
			result, err := w.Fetch(t.Context(), name, at, shard.Limit{Records: 1}, nil)
			if err != nil || len(result.Records) != 1 {
				t.Fatalf("%d records, %v", len(result.Records), err)
			}
			at.Offset = result.Records[0].Offset
		}
		at.Offset++
		told = wait()
		if err := w.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := <-told; err != nil && !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if err := w.Wait(t.Context(), name, at); !errors.Is(err, ErrNotFound) {
			t.Errorf("at a stream that is gone: %v", err)
		}
	})
}
