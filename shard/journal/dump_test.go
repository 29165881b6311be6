package journal

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestDumpShowsPeopleWhatIsInADirectory(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.JournalFileBytes, opts.CacheBytes = 1<<20, 1<<20 // nothing is written over
	e := mustOpen(t, opts)
	l := mustLog(t, e, "clicks")
	ctx := context.Background()
	records := []shard.Record{{Key: []byte("user-1"), Headers: []shard.Header{{Name: "kind", Value: []byte("page")}}, Value: []byte("hello")}}
	if _, err := l.Append(ctx, records).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 80)
	if err := l.Trim(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := e.Delete(ctx, "nothing"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Dump(mem, "/data", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"== /data/FORMAT", "sluice-journal 2", "== /data/meta/", `topic 1 "clicks"`, "partition 0: log 1, first offset 1, in segments to 81",
		"== /data/journal/0000.j", "batch: LSN ", `change: create topic 1 "clicks", partitions 0 to 1 as logs 1 to 2`,
		"change: trim log 1 before offset 1", "== /data/shards/0/1-00000000000000000001.seg", "frame: log 1, offsets 0 to 1, ",
		`0 key "user-1" "kind"="page" value "hello"`, "index with ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the dump", want)
		}
	}
	out.Reset()
	if err := Dump(mem, "/data/"+segmentName(1, 1), &out); err != nil || !strings.Contains(out.String(), "record 0 ") {
		t.Errorf("dump of a segment: %v\n%s", err, out.String())
	}
	if err := Dump(mem, "/", &out); err == nil {
		t.Error("dumped what is no data directory")
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
