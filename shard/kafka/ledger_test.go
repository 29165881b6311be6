package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// patience ends what should have ended by itself long ago. It is no measure of speed.
const patience = 5 * time.Minute

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// ledger writes to logs from several goroutines, and remembers what was acknowledged and where.
type ledger struct {
	t    *testing.T
	logs []shard.Log
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	acked  []map[shard.Offset]string // by log
	sent   []map[string]bool
	counts int

	failing func(error) bool // whether an append may fail so
	grown   *sync.Cond
}

const writersPerLog = 2

// keepLedger begins to write. The appends of one writer wait for each other; some are of several records.
func keepLedger(t *testing.T, e shard.Engine, topic string, logs int) *ledger {
	t.Helper()
	ctx := within(t)
	if err := e.Create(ctx, topic, logs); err != nil {
		t.Fatalf("create: %v", err)
	}
	l := &ledger{t: t, stop: make(chan struct{})}
	l.grown = sync.NewCond(&l.mu)
	for p := range logs {
		log, err := e.Open(ctx, topic, p)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		l.logs = append(l.logs, log)
		l.acked = append(l.acked, map[shard.Offset]string{})
		l.sent = append(l.sent, map[string]bool{})
	}
	for p, log := range l.logs {
		for w := range writersPerLog {
			l.done.Go(func() { l.write(t.Context(), log, p, w) })
		}
	}
	return l
}

func (l *ledger) write(ctx context.Context, log shard.Log, p, w int) {
	for n := 0; ; {
		select {
		case <-l.stop:
			return
		default:
		}
		var records []shard.Record
		l.mu.Lock()
		for range 1 + n%3 {
			v := fmt.Sprintf("%d/%d/%06d", p, w, n)
			l.sent[p][v] = true
			records = append(records, shard.Record{Key: []byte(v), Value: []byte(v)})
			n++
		}
		l.mu.Unlock()
		at, err := log.Append(ctx, records).Wait(ctx)
		l.mu.Lock()
		if err == nil {
			for i, r := range records {
				l.acked[p][at.First+shard.Offset(i)] = string(r.Value)
			}
			l.counts++
		}
		l.grown.Broadcast()
		l.mu.Unlock()
		if err != nil && l.failing != nil && l.failing(err) {
			return
		}
		if err != nil {
			l.t.Errorf("append %s: %v", records[0].Value, err)
			return
		}
	}
}

// more waits until so many more appends were acknowledged.
func (l *ledger) more(n int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for until := l.counts + n; l.counts < until && !l.t.Failed(); {
		l.grown.Wait()
	}
}

// end stops the writers.
func (l *ledger) end() {
	close(l.stop)
	l.done.Wait()
}

// check reads everything and holds it against what was acknowledged: all of it is there, at its place; nothing is there
// twice, or was never sent; every writer's records are in their order.
func (l *ledger) check(logs []shard.Log) {
	l.t.Helper()
	total := 0
	for p, log := range logs {
		seen := map[string]bool{}
		last := map[string]string{}
		records := readAll(l.t, log)
		for _, r := range records {
			v := string(r.Value)
			writer := v[:len(v)-6]
			if seen[v] || !l.sent[p][v] || last[writer] >= v && last[writer] != "" {
				l.t.Errorf("log %d: record %q at %d: there before: %v, sent: %v, the writer's last one: %q", p, v, r.Offset, seen[v], l.sent[p][v], last[writer])
			}
			seen[v], last[writer] = true, v
			if want, ok := l.acked[p][r.Offset]; ok && want != v {
				l.t.Errorf("log %d: %q was acknowledged at %d, where %q is", p, want, r.Offset, v)
			}
		}
		for at, v := range l.acked[p] {
			if !seen[v] {
				l.t.Errorf("log %d: %q was acknowledged at %d and is lost", p, v, at)
			}
		}
		total += len(records)
	}
	l.t.Logf("%d records, %d appends acknowledged", total, l.counts)
}

func readAll(t testing.TB, log shard.Log) (out []shard.Record) {
	t.Helper()
	ctx := within(t)
	for from := shard.Offset(0); ; {
		got, err := log.Read(ctx, from, shard.Limit{})
		if err != nil {
			t.Fatalf("read from %d: %v", from, err)
		}
		if len(got) == 0 {
			return out
		}
		out = append(out, got...)
		from = got[len(got)-1].Offset + 1
	}
}

// reopen closes an engine and opens the logs of a topic anew.
func reopen(t *testing.T, e *Engine, opts Options, topic string, logs int) (*Engine, []shard.Log) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	e = mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	var out []shard.Log
	for p := range logs {
		out = append(out, openLog(t, e, topic, p))
	}
	return e, out
}

func openLog(t testing.TB, e shard.Engine, topic string, partition int) shard.Log {
	t.Helper()
	l, err := e.Open(within(t), topic, partition)
	if err != nil {
		t.Fatalf("open %s/%d: %v", topic, partition, err)
	}
	return l
}

func makeLog(t testing.TB, e shard.Engine, topic string) shard.Log {
	t.Helper()
	if err := e.Create(within(t), topic, 1); err != nil {
		t.Fatalf("create %s: %v", topic, err)
	}
	return openLog(t, e, topic, 0)
}

func mustAppend(t testing.TB, l shard.Log, values ...string) shard.Appended {
	t.Helper()
	var records []shard.Record
	for _, v := range values {
		records = append(records, shard.Record{Key: []byte("key of " + v), Value: []byte(v)})
	}
	at, err := l.Append(within(t), records).Wait(within(t))
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return at
}

func valuesOf(records []shard.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}
