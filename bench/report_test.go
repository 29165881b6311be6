package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-462d9463/sluice/bench/loadgen"
)

func TestMedianIsTheMiddleOrTheMeanOfTheTwoMiddleOnes(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{3, 100, 1}, 3}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

// scripted is a scenario whose contestants have done it all before.
func scripted(order *[]string) scenario {
	one := func(name string, rates ...float64) contestant {
		return contestant{name: name, round: func(_ context.Context, n int) (measurement, error) {
			*order = append(*order, name)
			m := newMeasurement(loadgen.Result{Elapsed: time.Second, Requests: int64(rates[n]),
				Worth: loadgen.Worth{Records: int(rates[n]), Bytes: int64(rates[n]) * 1000}})
			m.CPU, m.PerCPU = 0.5, m.Bytes/0.5
			return m, nil
		}}
	}
	return scenario{
		name: "scripted", title: "A scripted scenario", rate: requestRate, unit: "requests/s",
		prepare: func(context.Context, *stage) ([]contestant, error) {
			return []contestant{one(trivialName, 100, 200, 400), one(signedName, 90, 100, 320)}, nil
		},
		budgets: []budget{
			{contestant: signedName, what: "share", least: 0.8, value: func(c contest) float64 { return c.RateRatio }},
			{contestant: signedName, what: "speed", least: 101, value: func(c contest) float64 { return c.Median.RequestRate }},
			{contestant: unsignedName, what: "of nobody who took part", least: 1},
		},
	}
}

func TestRatiosCompareTheSameRoundAndBudgetsAreJudged(t *testing.T) {
	s := &stage{options: options{runs: 3}}
	var order []string
	got, err := s.play(t.Context(), scripted(&order))
	if err != nil {
		t.Fatal(err)
	}
	// The rounds' ratios are 0.9, 0.5 and 0.8; the ratio of the medians would be 0.5.
	if c := got.Contests[1]; c.RateRatio != 0.8 || c.CPURatio != 0.8 || c.Median.RequestRate != 100 {
		t.Errorf("got %+v", c)
	}
	want := []verdict{{What: "share", Least: 0.8, Got: 0.8, Met: true}, {What: "speed", Least: 101, Got: 100}}
	if diff := cmp.Diff(want, got.Budgets); diff != "" {
		t.Error(diff)
	}
	wantOrder := []string{trivialName, signedName, signedName, trivialName, trivialName, signedName}
	if diff := cmp.Diff(wantOrder, order); diff != "" {
		t.Error("who begins must change:", diff)
	}
}

func TestARunThatOthersDisturbedIsRepeated(t *testing.T) {
	noise := []float64{1.5, 0.9, 0.05, 0.7}
	done := 0
	c := contestant{name: "c", round: func(context.Context, int) (measurement, error) {
		done++
		return measurement{Others: noise[(done-1)%len(noise)]}, nil
	}}
	for _, test := range []struct{ most, want, rounds float64 }{
		{0, 1.5, 1}, {1, 0.9, 2}, {0.1, 0.05, 3}, {0.01, 0.05, maxRepeats + 1},
	} {
		done = 0
		s := &stage{options: options{maxOthers: test.most}}
		m, err := s.undisturbed(t.Context(), c, 0)
		if err != nil || m.Others != test.want || float64(done) != test.rounds {
			t.Errorf("at most %v: took %v after %d runs, %v", test.most, m.Others, done, err)
		}
	}
}

func TestReportsOfScenariosThatMoveNoBytesAreWritten(t *testing.T) {
	sc := scenario{
		name: "still", rate: func(m measurement) float64 { return m.RequestRate },
		prepare: func(context.Context, *stage) ([]contestant, error) {
			return []contestant{{name: "idle", round: func(context.Context, int) (measurement, error) {
				return measurement{Seconds: 10, Requests: 1}, nil
			}}}, nil
		},
	}
	got, err := (&stage{options: options{runs: 1}}).play(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	r := report{Outcomes: []outcome{got}}
	if err := r.writeJSON(io.Discard); err != nil {
		t.Error(err)
	}
	var text strings.Builder
	if err := r.writeMarkdown(&text); err != nil || strings.Contains(text.String(), "NaN") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestReportsAreWritten(t *testing.T) {
	s := &stage{options: options{runs: 3}}
	var order []string
	result, err := s.play(t.Context(), scripted(&order))
	if err != nil {
		t.Fatal(err)
	}
	r := report{Machine: machine{CPU: "Z80", Cores: 1, Kernel: "Linux 7", Go: "go1", Platform: "cpm/z80", FileSystem: "ext4 (/dev/x)"},
		Started: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Options: "--runs 3", Outcomes: []outcome{result}}

	var text strings.Builder
	if err := r.writeMarkdown(&text); err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/report.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), text.String()); diff != "" {
		t.Error(diff)
	}

	text.Reset()
	if err := r.writeJSON(&text); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal([]byte(text.String()), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	all := scenarios()
	for _, args := range []string{
		"--scenario nothing", "--runs 0", "--duration 0s", "--duration 3m", "--warmup -1s", "--shards 0", "--max-others -1",
		"--signatures maybe", "--format xml", "--no-such-flag", "argument",
	} {
		if _, err := parseFlags(strings.Fields(args), all); err == nil {
			t.Errorf("%s: taken", args)
		}
	}
	o, err := parseFlags([]string{"--scenario", "append-1x*"}, all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"append-1x128B", "append-1x1KiB", "append-1x64KiB", "append-1x1MiB"}, o.scenarios); diff != "" {
		t.Error(diff)
	}
	o, err = parseFlags([]string{"--scenario", "get-records,delivery", "--runs", "2"}, all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"get-records", "delivery"}, o.scenarios); diff != "" || o.runs != 2 || o.settled != settleBytes {
		t.Error(o, diff)
	}
	if o, err = parseFlags([]string{"--fresh"}, all); err != nil || o.settled != 0 {
		t.Error(o, err)
	}
	if o, err = parseFlags([]string{"--fresh", "--scenario", "logs"}, all); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), o, all); err == nil {
		t.Error("the engine alone is measured as it starts")
	}
}

func TestTheFileSystemOfADirectoryIsFound(t *testing.T) {
	if _, err := os.Stat("/proc/self/mounts"); err != nil {
		t.Skip("no /proc")
	}
	if got := fileSystemOf(t.TempDir()); strings.Contains(got, "unknown") {
		t.Error(got)
	}
}
