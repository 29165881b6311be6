package firehose

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
	"github.com/seed-462d9463/sluice/sinks"
)

// BenchmarkDelivery compares the way from a log through gzip to nowhere with the bare encoder on the same bytes.
func BenchmarkDelivery(b *testing.B) {
	const records = 20_000
	l := &preparedLog{}
	size := 0
	for i := range records {
		v := jsonRecord(i)
		size += len(v) + 1
		l.records = append(l.records, shard.Record{Offset: shard.Offset(i), Value: v})
	}
	pool := newEncoders(1)
	b.Run("bare", func(b *testing.B) {
		var plain bytes.Buffer
		for _, r := range l.records {
			plain.Write(r.Value)
			plain.WriteByte('\n')
		}
		b.SetBytes(int64(size))
		defer perCPU(b, size)()
		for b.Loop() {
			encoder, err := pool.get(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			encoder.reset(discard{}, true)
			if _, err := encoder.gzip.Write(plain.Bytes()); err != nil {
				b.Fatal(err)
			}
			if err := encoder.gzip.Close(); err != nil {
				b.Fatal(err)
			}
			pool.put(encoder)
		}
	})
	for name, l := range map[string]shard.Log{"delivery": l, "from segments": inSegments(b, l.records)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			defer perCPU(b, size)()
			for b.Loop() {
				c := &content{
					ctx: b.Context(), expander: expander{delimiter: "\n"}, compression: GZIP, encoders: pool,
					parts: []part{{input: &input{log: l}, of: sourceRange{To: records, Records: records}, whole: true}},
				}
				if _, err := c.WriteTo(discard{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// inSegments puts records into a log of the embedded engine, 500 at a time, where they are in segments after the restart.
func inSegments(b *testing.B, records []shard.Record) shard.Log {
	b.Helper()
	ctx := b.Context()
	options := journal.Options{FS: vfs.OS(), Dir: b.TempDir(), Config: journal.DefaultConfig(), Logger: slog.New(slog.DiscardHandler)}
	options.Config.Compression = "off"
	open := func() (*journal.Engine, shard.Log) {
		e, err := journal.Open(options)
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Create(ctx, "records", 1); err != nil {
			b.Fatal(err)
		}
		l, err := e.Open(ctx, "records", 0)
		if err != nil {
			b.Fatal(err)
		}
		return e, l
	}
	e, l := open()
	for batch := range slices.Chunk(records, 500) {
		if _, err := l.Append(ctx, batch).Wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	e, l = open()
	b.Cleanup(func() { _ = e.Close() })
	return l
}

// BenchmarkService is the same with all that is around it: scan, intents, uploads side by side.
func BenchmarkService(b *testing.B) {
	const records = 20_000
	l := &repeatedLog{more: make(chan struct{}, 1)}
	size := 0
	for i := range records {
		v := jsonRecord(i)
		size += len(v) + 1
		l.values = append(l.values, v)
	}
	e := newEnv(b)
	e.sources.set(nil, Log{Generation: "input", Log: l})
	s, stop := e.startOn(e.engine, discardBuckets{})
	defer stop()
	e.create(s, clicks, definition(fromStream, compressed, buffering(5, 0)))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	b.SetBytes(int64(size))
	defer perCPU(b, size)()
	delivered := int64(0)
	for b.Loop() {
		l.next.Add(records)
		delivered += records
		l.more <- struct{}{}
		for e.stats(s, clicks).DeliveredRecords < delivered {
			<-tick.C
		}
	}
}

// repeatedLog has the same records again and again, up to where it is told.
type repeatedLog struct {
	shard.Log
	values [][]byte
	next   atomic.Int64
	more   chan struct{}
}

func (l *repeatedLog) Bounds() (first, next shard.Offset) { return 0, shard.Offset(l.next.Load()) }

func (l *repeatedLog) Read(_ context.Context, from shard.Offset, limit shard.Limit) (out []shard.Record, _ error) {
	_, next := l.Bounds()
	now := time.Now()
	for n := 0; from < next && n < limit.Bytes && (limit.Records == 0 || len(out) < limit.Records); from++ {
		out = append(out, shard.Record{Offset: from, Time: now, Value: l.values[int(from)%len(l.values)]})
		n += len(out[len(out)-1].Value)
	}
	return out, nil
}

func (l *repeatedLog) Wait(ctx context.Context, from shard.Offset) error {
	for shard.Offset(l.next.Load()) <= from {
		select {
		case <-l.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// discardBuckets take everything and keep nothing.
type discardBuckets struct{}

func (discardBuckets) Open(string) (sinks.Sink, error) { return discardBuckets{}, nil }

func (discardBuckets) Put(ctx context.Context, o sinks.Object) error {
	_, err := sinks.CopyBody(ctx, discard{}, o.Body)
	return err
}

func (discardBuckets) Stat(context.Context, string) (sinks.Info, error) {
	return sinks.Info{}, sinks.ErrNotFound
}

// perCPU reports the speed by the processor time that was taken, which other work on the machine changes less.
func perCPU(b *testing.B, size int) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(size*b.N)/1e6/(used()-before).Seconds(), "MB/cpu-s") }
}

// discard is io.Discard without its shortcut for readers.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// jsonRecord is like an event of a click: a KiB, much of it alike in all, much not.
func jsonRecord(i int) []byte {
	h := uint64(i) * 0x9e3779b97f4a7c15
	s := fmt.Sprintf(`{"event":"page_view","session":"%016x","user":%d,"time":"2026-03-07T12:%02d:%02d.%03dZ","page":"/shop/item/%d",`+
		`"referrer":"https://www.example.com/search?q=%x","agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","props":{`,
		h, h%100_000, i/60%60, i%60, i%1000, h%5000, h>>40)
	for k := 0; len(s) < 1000; k++ {
		h = h*0xd1342543de82ef95 + 1
		s += fmt.Sprintf(`"k%d":%d,`, k, h>>44)
	}
	return []byte(s + `"end":true}}`)
}

// preparedLog holds records in memory as the engine's cache does.
type preparedLog struct {
	shard.Log
	records []shard.Record
}

func (l *preparedLog) Bounds() (first, next shard.Offset) { return 0, shard.Offset(len(l.records)) }

func (l *preparedLog) Read(_ context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	n := 0
	to := from
	for ; int(to) < len(l.records) && n < limit.Bytes; to++ {
		n += l.records[to].Size()
	}
	return l.records[from:to], nil
}
