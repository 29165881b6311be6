package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (w *world) amend(name Name, change func(*Settings)) {
	w.t.Helper()
	err := w.Amend(context.Background(), name, func(s *Settings) error { change(s); return nil })
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestChangedSettingsOutliveARestart(t *testing.T) {
	w := newWorld(t, nil, nil)
	name := w.create("clicks", CreateOptions{Shards: 2, Tags: map[string]string{"team": "blue"}})
	want := Settings{
		RetentionHours: 48, MaxRecordBytes: 2 << 20, Tags: map[string]string{"team": "red", "stage": "test"},
		Monitoring: IncomingBytes | IteratorAgeMilliseconds, Policy: `{"Statement":[]}`,
	}
	w.amend(name, func(s *Settings) {
		tags := s.Tags
		*s = want
		s.Tags = tags
		maps.Copy(s.Tags, want.Tags)
	})
	for _, when := range []string{"at once", "after a restart"} {
		d, err := w.Describe(name)
		if err != nil {
			t.Fatal(err)
		}
		got := Settings{d.RetentionHours, d.MaxRecordBytes, d.Tags, d.Monitoring, d.Policy}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
		w.stopAll()
		w.start()
	}
}

func TestAChangeOfSettingsThatFailsChangesNothing(t *testing.T) {
	w := newWorld(t, nil, nil)
	name := w.create("clicks", CreateOptions{Shards: 1, Tags: map[string]string{"team": "blue"}})
	before, _ := w.Describe(name)
	mine := errors.New("mine")
	for what, c := range map[string]struct {
		change func(*Settings) error
		want   error
	}{
		"an error of the change": {func(s *Settings) error { s.Tags["team"] = "red"; return mine }, mine},
		"too long a retention":   {func(s *Settings) error { s.RetentionHours = 8761; return nil }, ErrInvalidArgument},
		"too short a retention":  {func(s *Settings) error { s.RetentionHours = 23; return nil }, ErrInvalidArgument},
		"too large records":      {func(s *Settings) error { s.MaxRecordBytes = 10<<20 + 1; return nil }, ErrInvalidArgument},
		"unknown metrics":        {func(s *Settings) error { s.Monitoring = 1 << 7; return nil }, ErrInvalidArgument},
		"too large a policy":     {func(s *Settings) error { s.Policy = strings.Repeat("x", MaxPolicyBytes+1); return nil }, ErrInvalidArgument},
	} {
		if err := w.Amend(context.Background(), name, c.change); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after, _ := w.Describe(name); !cmp.Equal(before, after) {
		t.Error(cmp.Diff(before, after))
	}
	missing := Name{Account: "123456789012", Region: "eu-west-1", Name: "missing"}
	if err := w.Amend(context.Background(), missing, func(*Settings) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Errorf("a stream that is not there: %v", err)
	}
}

func TestConcurrentChangesOfSettingsAllTakeEffect(t *testing.T) {
	w := newWorld(t, nil, nil)
	name := w.create("clicks", CreateOptions{Shards: 1})
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			err := w.Amend(context.Background(), name, func(s *Settings) error {
				if s.Tags == nil {
					s.Tags = map[string]string{}
				}
				s.Tags[fmt.Sprint(i)] = "x"
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if d, _ := w.Describe(name); len(d.Tags) != 8 {
		t.Errorf("tags %v", slices.Sorted(maps.Keys(d.Tags)))
	}
}

func TestALongerRetentionDoesNotBringBackWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, limitsOffIn)
		name := w.create("clicks", CreateOptions{Shards: 1})
		w.put(name, Entry{PartitionKey: "key", Data: []byte("oldest")})
		time.Sleep(10 * time.Second)
		w.put(name, Entry{PartitionKey: "key", Data: []byte("old")})
		time.Sleep(12 * time.Hour)
		w.put(name, Entry{PartitionKey: "key", Data: []byte("young")})
		// The oldest is trimmed when it is too old, and the old one not yet, because that is done once a minute.
		time.Sleep(12*time.Hour + time.Second)
		w.amend(name, func(s *Settings) { s.RetentionHours = 48 })
		time.Sleep(time.Hour)
		records := w.read(name, w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})).Records
		if len(records) != 1 || string(records[0].Value) != "young" {
			t.Errorf("read %d records", len(records))
		}
		time.Sleep(48 * time.Hour)
		if records := w.read(name, w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})).Records; len(records) != 0 {
			t.Errorf("read %d records that are too old", len(records))
		}
		w.stopAll()
	})
}

func TestACommitmentCanBeGivenUpAfterADay(t *testing.T) {
	w := newWorld(t, nil, nil)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		after  time.Duration
		change string
		want   Commitment
	}{
		{0, "", Commitment{}},
		{0, "disable", Commitment{}},
		{0, "enable", Commitment{Enabled: true, Started: start}},
		{time.Hour, "enable", Commitment{Enabled: true, Started: start}},
		{time.Hour, "disable", Commitment{Enabled: true, Started: start, Ends: start.Add(24 * time.Hour)}},
		{2 * time.Hour, "enable", Commitment{Enabled: true, Started: start}},
		{3 * time.Hour, "disable", Commitment{Enabled: true, Started: start, Ends: start.Add(24 * time.Hour)}},
		{24 * time.Hour, "", Commitment{Started: start, Ends: start.Add(24 * time.Hour)}},
		{25 * time.Hour, "enable", Commitment{Enabled: true, Started: start.Add(25 * time.Hour)}},
		{50 * time.Hour, "disable", Commitment{Started: start.Add(25 * time.Hour), Ends: start.Add(50 * time.Hour)}},
	} {
		now := start.Add(c.after)
		if c.change != "" {
			if _, err := w.SetCommitment(context.Background(), "123456789012", "eu-west-1", c.change == "enable", now); err != nil {
				t.Fatal(err)
			}
		}
		w.stopAll()
		w.start()
		got, err := w.Commitment("123456789012", "eu-west-1", now)
		if err != nil || got != c.want {
			t.Errorf("%s after %s: %+v, %v; want %+v", c.change, c.after, got, err, c.want)
		}
	}
	if other, err := w.Commitment("123456789012", "us-east-1", start.Add(time.Hour)); err != nil || other.Enabled {
		t.Errorf("another region: %+v, %v", other, err)
	}
}

func TestOnDemandStreamsHaveAQuota(t *testing.T) {
	w := newWorld(t, nil, func(c *Config) { c.OnDemandStreamQuota = 1 })
	w.create("a", CreateOptions{Shards: 3})
	w.create("b", CreateOptions{OnDemand: true})
	name := Name{Account: "123456789012", Region: "eu-west-1", Name: "c"}
	if err := w.Create(context.Background(), name, CreateOptions{OnDemand: true}); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("a second one: %v", err)
	}
	want := Usage{Shards: 3, OnDemandStreams: 1, OnDemandStreamQuota: 1}
	if got := w.Usage("123456789012", "eu-west-1"); got != want {
		t.Errorf("usage %+v, want %+v", got, want)
	}
}
