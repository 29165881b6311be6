package shardtest

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
)

// testModel runs random operations on the engine and on Memory, and compares. The engine's offsets and times
// are its own, so the model's are translated.
func testModel(s *suite) {
	rapid.Check(s.t, func(t *rapid.T) {
		s.reporter = t
		m := &machine{s: s, model: NewMemory(), base: topic("model")}
		defer m.cleanUp()
		actions := map[string]func(*rapid.T){
			"": m.check, "append": m.append, "appendSome": m.appendSome, "read": m.read, "at": m.at, "trim": m.trim,
			"create": m.create, "delete": m.delete,
		}
		if s.h.Reopen != nil {
			actions["reopen"] = func(t *rapid.T) { m.replace(t, false) }
		}
		if s.h.Crash != nil {
			actions["crash"] = func(t *rapid.T) { m.replace(t, true) }
		}
		t.Repeat(actions)
	})
}

const machineTopics = 2

type machine struct {
	s     *suite
	model *Memory
	base  string
	logs  []*machineLog

	scratch shard.Scratch
}

// machineLog pairs a log with its model. The model's offset o is the engine's offsets[o], at times[o].
type machineLog struct {
	place   place
	log     shard.Log
	model   shard.Log
	offsets []shard.Offset
	times   []time.Time
}

func (m *machine) cleanUp() {
	for n := range machineTopics {
		if err := m.s.h.Engine.Delete(m.s.ctx(), m.topic(n)); err != nil {
			m.s.Errorf("delete: %v", err)
		}
	}
}

func (m *machine) topic(n int) string { return fmt.Sprint(m.base, ".", n) }

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) create(t *rapid.T) {
	name := m.topic(rapid.IntRange(0, machineTopics-1).Draw(t, "topic"))
	partitions := rapid.IntRange(1, 3).Draw(t, "partitions")
	must(t, m.s.h.Engine.Create(m.s.ctx(), name, partitions))
	must(t, m.model.Create(m.s.ctx(), name, partitions))
	for p := range partitions {
		if m.find(place{name, p}) == nil {
			l := &machineLog{place: place{name, p}}
			var err error
			l.model, err = m.model.Open(m.s.ctx(), name, p)
			must(t, err)
			m.logs = append(m.logs, l)
		}
	}
	m.reopenLogs(t)
}

func (m *machine) find(at place) *machineLog {
	for _, l := range m.logs {
		if l.place == at {
			return l
		}
	}
	return nil
}

func (m *machine) reopenLogs(t *rapid.T) {
	for _, l := range m.logs {
		var err error
		l.log, err = m.s.h.Engine.Open(m.s.ctx(), l.place.topic, l.place.partition)
		must(t, err)
	}
}

func (m *machine) delete(t *rapid.T) {
	name := m.topic(rapid.IntRange(0, machineTopics-1).Draw(t, "topic"))
	must(t, m.s.h.Engine.Delete(m.s.ctx(), name))
	must(t, m.model.Delete(m.s.ctx(), name))
	var kept []*machineLog
	for _, l := range m.logs {
		if l.place.topic != name {
			kept = append(kept, l)
		}
	}
	m.logs = kept
}

func (m *machine) pick(t *rapid.T) *machineLog {
	if len(m.logs) == 0 {
		t.Skip("no logs")
	}
	return m.logs[rapid.IntRange(0, len(m.logs)-1).Draw(t, "log")]
}

func drawRecords(t *rapid.T) []shard.Record {
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 20)
	records := make([]shard.Record, rapid.IntRange(1, 4).Draw(t, "records"))
	for i := range records {
		r := &records[i]
		r.Key = bytes.Draw(t, "key")
		r.Value = bytes.Draw(t, "value")
		if rapid.IntRange(0, 7).Draw(t, "large") == 7 {
			r.Value = pattern(rapid.IntRange(0, 70_000).Draw(t, "size"), byte(i))
		}
		for range rapid.IntRange(0, 2).Draw(t, "headers") {
			r.Headers = append(r.Headers, shard.Header{Name: rapid.String().Draw(t, "name"), Value: bytes.Draw(t, "header")})
		}
	}
	return records
}

func (m *machine) append(t *rapid.T) {
	m.appendTo(t, []*machineLog{m.pick(t)})
}

// appendSome appends to several logs before it waits for any.
func (m *machine) appendSome(t *rapid.T) {
	logs := make([]*machineLog, rapid.IntRange(2, 6).Draw(t, "appends"))
	for i := range logs {
		logs[i] = m.pick(t)
	}
	m.appendTo(t, logs)
}

func (m *machine) appendTo(t *rapid.T, logs []*machineLog) {
	var pending []shard.Pending
	var records [][]shard.Record
	for i, l := range logs {
		records = append(records, drawRecords(t))
		pending = append(pending, l.log.Append(m.s.ctx(), records[i]))
	}
	for i, l := range logs {
		at, err := pending[i].Wait(m.s.ctx())
		must(t, err)
		_, err = l.model.Append(m.s.ctx(), records[i]).Wait(m.s.ctx())
		must(t, err)
		if n := len(l.offsets); n > 0 && (at.First <= l.offsets[n-1] || at.Time.Before(l.times[n-1])) {
			t.Fatalf("append got @%d at %v after @%d at %v", at.First, at.Time, l.offsets[n-1], l.times[n-1])
		}
		for j := range records[i] {
			l.offsets = append(l.offsets, at.First+shard.Offset(j))
			l.times = append(l.times, at.Time)
		}
	}
}

// drawOffset draws an offset of the engine: of a record, or between, before or behind them. It returns also
// the model's offset of the first record at or after it.
func (l *machineLog) drawOffset(t *rapid.T) (engine, model shard.Offset) {
	engine = shard.Offset(rapid.IntRange(-1, 1).Draw(t, "beside"))
	if n := len(l.offsets); n > 0 {
		engine += l.offsets[rapid.IntRange(0, n-1).Draw(t, "offset")]
	}
	for int(model) < len(l.offsets) && l.offsets[model] < engine {
		model++
	}
	return engine, model
}

// translate gives the model's records the engine's offsets and times.
func (l *machineLog) translate(records []shard.Record) []shard.Record {
	out := cloneAll(records)
	for i := range out {
		o := out[i].Offset
		out[i].Offset, out[i].Time = l.offsets[o], l.times[o]
	}
	return out
}

func (m *machine) read(t *rapid.T) {
	l := m.pick(t)
	engine, model := l.drawOffset(t)
	limit := shard.Limit{Records: rapid.IntRange(0, 5).Draw(t, "max"), Bytes: rapid.SampledFrom([]int{0, 1, 60, 300, 80_000}).Draw(t, "bytes")}
	want, err := l.model.Read(m.s.ctx(), model, limit)
	must(t, err)
	got, err := l.log.Read(m.s.ctx(), engine, limit)
	must(t, err)
	if len(got) > len(want) || len(got) == 0 && len(want) > 0 {
		t.Fatalf("read of %s from %d within %+v: %d records, the model has %d", l.place, engine, limit, len(got), len(want))
	}
	m.s.equal(got, l.translate(want[:len(got)]))
	if got, err = shard.ReadInto(m.s.ctx(), l.log, engine, limit, &m.scratch); err != nil {
		t.Fatal(err)
	}
	want, err = l.model.Read(m.s.ctx(), model, shard.Limit{Records: limit.Records})
	must(t, err)
	if len(got) > len(want) || len(got) == 0 && len(want) > 0 {
		t.Fatalf("read of %s into scratch from %d: %d records, the model has %d", l.place, engine, len(got), len(want))
	}
	m.s.equal(got, l.translate(want[:len(got)]))
}

func (m *machine) at(t *rapid.T) {
	l := m.pick(t)
	when := time.Now().Add(time.Hour)
	if n := len(l.times); n > 0 {
		when = l.times[rapid.IntRange(0, n-1).Draw(t, "time")].Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "ms")) * time.Millisecond)
	}
	first, next := l.model.Bounds()
	for first < next && l.times[first].Before(when) {
		first++
	}
	_, want := l.log.Bounds()
	if first < next {
		want = l.offsets[first]
	}
	got, err := l.log.At(m.s.ctx(), when)
	must(t, err)
	if got != want {
		t.Fatalf("%s at %v is @%d, want @%d", l.place, when, got, want)
	}
}

func (m *machine) trim(t *rapid.T) {
	l := m.pick(t)
	engine, model := l.drawOffset(t)
	must(t, l.log.Trim(m.s.ctx(), engine))
	must(t, l.model.Trim(m.s.ctx(), model))
}

func (m *machine) replace(t *rapid.T, crash bool) {
	by := m.s.h.Reopen
	if crash {
		by = m.s.h.Crash
	}
	m.s.h.Engine = by(m.s.t)
	m.reopenLogs(t)
}

// check holds everything against the model, after every action.
func (m *machine) check(t *rapid.T) {
	want, err := m.model.Topics(m.s.ctx())
	must(t, err)
	if got := m.s.topics(m.base); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("topics are %v, want %v", got, want)
	}
	for _, l := range m.logs {
		records, err := l.model.Read(m.s.ctx(), 0, shard.Limit{})
		must(t, err)
		m.s.equal(m.s.readAll(l.log, 0), l.translate(records))
		m.s.checkBounds(l.log, l.translate(records))
	}
}
