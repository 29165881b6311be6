package clickstream

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

type event struct {
	ID        string    `json:"event_id"`
	Time      time.Time `json:"time"`
	Type      string    `json:"type"`
	Session   string    `json:"session_id"`
	User      string    `json:"user_id"`
	Page      string    `json:"page"`
	Referrer  string    `json:"referrer"`
	UserAgent string    `json:"user_agent"`
	IP        string    `json:"ip"`
	Basket    int       `json:"basket"`
	Duration  int       `json:"duration_ms"`
}

// ticking is a clock that moves by a millisecond whenever it is read.
func ticking() func() time.Time {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		now = now.Add(time.Millisecond)
		return now
	}
}

func generate(t *testing.T, seed uint64, n int) (lines [][]byte, events []event) {
	t.Helper()
	g := New(Options{Seed: seed, Sessions: 50, Now: ticking()})
	for range n {
		line, key := g.Append(nil)
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		var e event
		if err := decoder.Decode(&e); err != nil {
			t.Fatalf("not JSON: %v\n%s", err, line)
		}
		if key != e.Session {
			t.Fatalf("key %q of session %q", key, e.Session)
		}
		lines, events = append(lines, line), append(events, e)
	}
	return lines, events
}

func TestSameSeedGivesTheSameBytes(t *testing.T) {
	first, _ := generate(t, 7, 2000)
	second, _ := generate(t, 7, 2000)
	other, _ := generate(t, 8, 2000)
	if !slices.EqualFunc(first, second, bytes.Equal) {
		t.Error("two generators with one seed differ")
	}
	if slices.EqualFunc(first, other, bytes.Equal) {
		t.Error("two seeds give the same events")
	}
}

func TestEveryEventHasItsOwnID(t *testing.T) {
	seen := map[string]bool{}
	_, events := generate(t, 1, 20_000)
	for _, e := range events {
		if seen[e.ID] {
			t.Fatalf("%s twice", e.ID)
		}
		seen[e.ID] = true
	}
}

func TestSessionsArriveFromSomewhereFollowLinksAndEnd(t *testing.T) {
	_, events := generate(t, 2, 20_000)
	last := map[string]event{}
	ended := 0
	for _, e := range events {
		before, known := last[e.Session]
		switch {
		case known && before.Type == "session_end":
			t.Fatalf("session %s goes on after its end", e.Session)
		case !known && strings.HasPrefix(e.Referrer, shop):
			t.Fatalf("session %s begins inside the shop", e.Session)
		case known && e.Page != before.Page && e.Referrer != shop+before.Page:
			t.Fatalf("session %s came from %s, but says %s", e.Session, shop+before.Page, e.Referrer)
		case known && (e.User != before.User || e.UserAgent != before.UserAgent || e.IP != before.IP):
			t.Fatalf("session %s changed its visitor", e.Session)
		case known && !e.Time.After(before.Time):
			t.Fatalf("session %s goes back in time", e.Session)
		}
		if e.Type == "session_end" {
			ended++
		}
		last[e.Session] = e
	}
	if ended < len(last)/2 {
		t.Errorf("%d of %d sessions ended", ended, len(last))
	}
}

func TestFewPagesGetMostViewsButManyAreSeen(t *testing.T) {
	_, events := generate(t, 3, 50_000)
	views := map[string]int{}
	total := 0
	for _, e := range events {
		if e.Type == "page_view" {
			views[e.Page]++
			total++
		}
	}
	counts := slices.Sorted(maps.Values(views))
	slices.Reverse(counts)
	top := 0
	for _, n := range counts[:len(counts)/10] {
		top += n
	}
	if top*2 < total || len(views) < 200 {
		t.Errorf("the top tenth of %d pages got %d of %d views", len(views), top, total)
	}
}

func BenchmarkAppend(b *testing.B) {
	g := New(Options{Seed: 1})
	line, _ := g.Append(nil)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		line, _ = g.Append(line[:0])
	}
}
