package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

// topics are the names of the streams' topics in the engine.
func (w *world) topics() []string {
	w.t.Helper()
	all, err := w.engine.Topics(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, topic := range all {
		if strings.HasPrefix(topic.Name, topicPrefix) {
			names = append(names, topic.Name)
		}
	}
	return names
}

func TestAStreamIsDescribedAsItWasCreated(t *testing.T) {
	w := newWorld(t, nil, nil)
	tags := map[string]string{"team": "clicks"}
	name := w.create("s", CreateOptions{Shards: 3, MaxRecordBytes: 2 << 20, RetentionHours: 48, Tags: tags})
	tags["team"] = "changed by the caller"
	check := func() {
		t.Helper()
		d, err := w.Describe(name)
		if err != nil {
			t.Fatal(err)
		}
		if d.Name != name || d.OnDemand || d.RetentionHours != 48 || d.MaxRecordBytes != 2<<20 || d.OpenShards != 3 ||
			len(d.Shards) != 3 || len(d.ID) != idLength || d.Created.IsZero() {
			t.Errorf("%+v", d)
		}
		if diff := cmp.Diff(map[string]string{"team": "clicks"}, d.Tags); diff != "" {
			t.Error(diff)
		}
		for i, r := range uniformSplit(3) {
			if sh, ok := d.Shard(ShardID(i)); !ok || sh.Range != r || !sh.Open() || sh.Index != i {
				t.Errorf("shard %d: %+v", i, sh)
			}
		}
	}
	check()
	w.restart()
	check()
}

func TestWhatIsLeftOutHasAWSsDefaults(t *testing.T) {
	w := newWorld(t, nil, nil)
	d, err := w.Describe(w.create("s", CreateOptions{OnDemand: true}))
	if err != nil {
		t.Fatal(err)
	}
	if !d.OnDemand || d.OpenShards != 4 || d.RetentionHours != 24 || d.MaxRecordBytes != 1<<20 {
		t.Errorf("%+v", d)
	}
}

func TestStreamsThatBreakARuleAreNotCreated(t *testing.T) {
	w := newWorld(t, nil, func(c *Config) { c.ShardQuota = 10 })
	good := CreateOptions{Shards: 1}
	for _, test := range []struct {
		name    Name
		options CreateOptions
		want    error
	}{
		{named(""), good, ErrInvalidArgument},
		{named("a b"), good, ErrInvalidArgument},
		{named("a/b"), good, ErrInvalidArgument},
		{named("ü"), good, ErrInvalidArgument},
		{named(strings.Repeat("n", 129)), good, ErrInvalidArgument},
		{Name{"", "r", "n"}, good, ErrInvalidArgument},
		{Name{"a", "../..", "n"}, good, ErrInvalidArgument},
		{named("s"), CreateOptions{}, ErrInvalidArgument},
		{named("s"), CreateOptions{Shards: -1}, ErrInvalidArgument},
		{named("s"), CreateOptions{Shards: MaxShards + 1}, ErrLimitExceeded},
		{named("s"), CreateOptions{Shards: 11}, ErrLimitExceeded},
		{named("s"), CreateOptions{Shards: 1, RetentionHours: 23}, ErrInvalidArgument},
		{named("s"), CreateOptions{Shards: 1, RetentionHours: 8761}, ErrInvalidArgument},
		{named("s"), CreateOptions{Shards: 1, MaxRecordBytes: 1<<20 - 1}, ErrInvalidArgument},
		{named("s"), CreateOptions{Shards: 1, MaxRecordBytes: 10<<20 + 1}, ErrInvalidArgument},
	} {
		if err := w.Create(context.Background(), test.name, test.options); !errors.Is(err, test.want) {
			t.Errorf("%v %+v: %v", test.name, test.options, err)
		}
	}
	if got := w.topics(); len(got) != 0 {
		t.Errorf("topics %v", got)
	}
	w.create(strings.Repeat("n", 128), good)
	w.create(".", good)
}

func TestTheLongestNamesFitATopic(t *testing.T) {
	long := strings.Repeat("x", MaxNameLength)
	name := Name{long, long, long}
	a, b := name.topic(newID()), name.topic(newID())
	if err := shard.CheckTopic(a); err != nil {
		t.Error(err)
	}
	if a == b || len(a) != maxTopicLength {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestTheQuotaCountsOpenShardsOfAnAccountInARegion(t *testing.T) {
	w := newWorld(t, nil, func(c *Config) { c.ShardQuota = 10 })
	w.create("a", CreateOptions{Shards: 6})
	w.create("on-demand", CreateOptions{OnDemand: true})
	elsewhere := Name{"123456789012", "us-east-1", "b"}
	if err := w.Create(context.Background(), elsewhere, CreateOptions{Shards: 10}); err != nil {
		t.Error(err)
	}
	if err := w.Create(context.Background(), named("b"), CreateOptions{Shards: 5}); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("over the quota: %v", err)
	}
	var created atomic.Int64
	var creators sync.WaitGroup
	for i := range 8 {
		creators.Go(func() {
			err := w.Create(context.Background(), named(fmt.Sprint("c", i)), CreateOptions{Shards: 1})
			if err == nil {
				created.Add(1)
			} else if !errors.Is(err, ErrLimitExceeded) {
				t.Error(err)
			}
		})
	}
	creators.Wait()
	if got := created.Load(); got != 4 {
		t.Errorf("%d streams got the last 4 places", got)
	}
	if err := w.Delete(context.Background(), named("a")); err != nil {
		t.Fatal(err)
	}
	w.create("b", CreateOptions{Shards: 6})
}

func TestOfConcurrentCreationsExactlyOneWins(t *testing.T) {
	w := newWorld(t, nil, nil)
	for round := range 10 {
		name := named(fmt.Sprintf("s%d", round))
		var won atomic.Int64
		var creators sync.WaitGroup
		for i := range 8 {
			creators.Go(func() {
				err := w.Create(context.Background(), name, CreateOptions{Shards: i + 1})
				if err == nil {
					won.Store(int64(i + 1))
				} else if !errors.Is(err, ErrExists) {
					t.Error(err)
				}
			})
		}
		creators.Wait()
		d, err := w.Describe(name)
		if err != nil || int64(d.OpenShards) != won.Load() {
			t.Errorf("%d shards, %v; who was told of success asked for %d", d.OpenShards, err, won.Load())
		}
		if got := w.topics(); len(got) != round+1 {
			t.Errorf("%d topics for %d streams", len(got), round+1)
		}
	}
}

func TestOfConcurrentDeletionsExactlyOneWins(t *testing.T) {
	w := newWorld(t, nil, nil)
	name := w.create("s", CreateOptions{Shards: 1})
	var won atomic.Int64
	var deleters sync.WaitGroup
	for range 8 {
		deleters.Go(func() {
			err := w.Delete(context.Background(), name)
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		})
	}
	deleters.Wait()
	if won.Load() != 1 || len(w.topics()) != 0 {
		t.Errorf("%d deletions succeeded, topics %v", won.Load(), w.topics())
	}
}

func TestAStreamCreatedAgainIsEmptyAndAnother(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	w.put(name, text("old"))
	old, err := w.Describe(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Create(context.Background(), name, CreateOptions{Shards: 1}); !errors.Is(err, ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	if err := w.Delete(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Describe(name); !errors.Is(err, ErrNotFound) {
		t.Errorf("described after its deletion: %v", err)
	}
	w.create("s", CreateOptions{Shards: 2})
	again, err := w.Describe(name)
	if err != nil || again.ID == old.ID || again.OpenShards != 2 {
		t.Errorf("%+v, %v", again, err)
	}
	if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); len(got) != 0 {
		t.Errorf("holds %q", got)
	}
}

func TestRecordsOutliveARestart(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	last := w.put(name, text("a"), text("b"))[1].Sequence
	p := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
	w.restart()
	if next := w.put(name, text("c"))[0].Sequence; next.Compare(last) <= 0 {
		t.Errorf("%s follows %s", next, last)
	}
	if got := w.read(name, p).Records; len(got) != 3 {
		t.Errorf("%d records at the old position", len(got))
	}
	if got := w.values(name, ShardID(0), StartAt{Type: AfterSequence, Sequence: last}); !slices.Equal(got, []string{"c"}) {
		t.Error(got)
	}
}

func TestLogsOfHalfMadeAndHalfDeletedStreamsAreRemovedAtStart(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 2})
	w.put(name, text("a"))
	kept := w.topics()
	for _, topic := range []string{topicPrefix + "1.r.half-made.x", "firehose.1.r.n.x"} {
		if err := w.engine.Create(context.Background(), topic, 3); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	if got := w.topics(); !slices.Equal(got, kept) {
		t.Errorf("topics %v, want %v", got, kept)
	}
	if _, err := w.engine.Open(context.Background(), "firehose.1.r.n.x", 0); err != nil {
		t.Errorf("somebody else's topic: %v", err)
	}
}

func TestAStreamThatThisVersionCannotReadStopsTheStartAndKeepsItsLogs(t *testing.T) {
	w := newWorld(t, nil, nil)
	name := w.create("s", CreateOptions{Shards: 1})
	entry, _ := w.catalog.Get(name.key())
	changed := strings.Replace(string(entry.Value), `"format":2`, `"format":99`, 1)
	if _, err := w.catalog.Put(context.Background(), name.key(), raw(changed), entry.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Describe(name); err == nil || !strings.Contains(err.Error(), "format 99") {
		t.Errorf("described: %v", err)
	}
	_, err := New(context.Background(), Options{Engine: w.engine, Catalog: w.catalog, Config: DefaultConfig()})
	if err == nil || !strings.Contains(err.Error(), "format 99") || !strings.Contains(err.Error(), name.String()) {
		t.Errorf("started: %v", err)
	}
	if got := w.topics(); len(got) != 1 {
		t.Errorf("topics %v", got)
	}
}

type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// refusing fails to create topics after it has created them.
type refusing struct{ *shardtest.Memory }

func (e refusing) Create(ctx context.Context, topic string, partitions int) error {
	if err := e.Memory.Create(ctx, topic, partitions); err != nil || !strings.HasPrefix(topic, topicPrefix) {
		return err
	}
	return errDisk
}

func TestAFailedCreationLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, refusing{shardtest.NewMemory()}, nil)
	if err := w.Create(context.Background(), named("s"), CreateOptions{Shards: 1}); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	if _, err := w.Describe(named("s")); !errors.Is(err, ErrNotFound) || len(w.topics()) != 0 {
		t.Errorf("%v, topics %v", err, w.topics())
	}
}

func TestStreamsAreListedByNameWithinAccountAndRegion(t *testing.T) {
	w := newWorld(t, nil, nil)
	for _, name := range []string{"c", "a", "d", "b"} {
		w.create(name, CreateOptions{Shards: 1})
	}
	for _, other := range []Name{{"other", "eu-west-1", "x"}, {"123456789012", "other", "y"}} {
		if err := w.Create(context.Background(), other, CreateOptions{Shards: 1}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(after string, limit int) (names []string, more bool) {
		descriptions, more := w.List("123456789012", "eu-west-1", after, limit)
		for _, d := range descriptions {
			names = append(names, d.Name.Name)
		}
		return names, more
	}
	for _, test := range []struct {
		after string
		limit int
		want  []string
		more  bool
	}{
		{"", 10, []string{"a", "b", "c", "d"}, false},
		{"", 4, []string{"a", "b", "c", "d"}, false},
		{"", 3, []string{"a", "b", "c"}, true},
		{"b", 1, []string{"c"}, true},
		{"bb", 10, []string{"c", "d"}, false},
		{"d", 10, nil, false},
	} {
		if got, more := list(test.after, test.limit); !slices.Equal(got, test.want) || more != test.more {
			t.Errorf("after %q, %d: %v, more %v", test.after, test.limit, got, more)
		}
	}
}

func TestReadersOfLogsAreToldOfChanges(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 2})
	logs, changed, err := w.Logs(name)
	if err != nil || len(logs) != 2 || logs[1].ShardID != ShardID(1) || logs[1].Partition != 1 || logs[1].Closed {
		t.Fatalf("%+v, %v", logs, err)
	}
	select {
	case <-changed:
		t.Fatal("changed at once")
	default:
	}
	// Nobody but the catalog's watcher learns of this.
	w.split(name, 1)
	<-changed
	logs, changed, err = w.Logs(name)
	if err != nil || len(logs) != 4 || logs[0].Closed || !logs[1].Closed || logs[3].Closed {
		t.Fatalf("%+v, %v", logs, err)
	}
	if err := w.Delete(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	<-changed
	if _, _, err := w.Logs(name); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestAClosedServiceSaysSo(t *testing.T) {
	w := newWorld(t, nil, nil)
	name := w.create("s", CreateOptions{Shards: 1})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, put := w.Put(context.Background(), name, []Entry{text("a")})
	_, describe := w.Describe(name)
	for _, err := range []error{put, describe, w.Create(context.Background(), name, CreateOptions{Shards: 1}), w.Delete(context.Background(), name)} {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}
