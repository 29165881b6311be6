package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// As the program itself does, its test works when it is told to.
	if len(os.Args) == 3 && os.Args[1] == Role {
		if err := Main(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func TestAppendsAreCountedInAProcessOfTheirOwn(t *testing.T) {
	for _, what := range []string{AppendBare, AppendTwice, AppendEngine} {
		t.Run(what, func(t *testing.T) {
			profile := filepath.Join(t.TempDir(), "cpu.pprof")
			got, err := Run(t.Context(), Task{What: what, Dir: t.TempDir(), Writers: 8, Size: 1 << 10, Logs: 3,
				Warmup: time.Millisecond, Duration: 50 * time.Millisecond, Profile: profile})
			if err != nil {
				t.Fatal(err)
			}
			if got.Seconds <= 0 || got.Peak <= 0 {
				t.Errorf("nothing was measured: %+v", got)
			}
			if got.Bytes != got.Records*1024 {
				t.Errorf("%v records have %v bytes", got.Records, got.Bytes)
			}
			if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
				t.Errorf("no profile: %v", err)
			}
		})
	}
}

func TestReadsAreCountedWhereverTheRecordsAre(t *testing.T) {
	for _, what := range []string{ReadBare, ReadCache, ReadCached, ReadCold} {
		t.Run(what, func(t *testing.T) {
			got, err := Run(t.Context(), Task{What: what, Dir: t.TempDir(), Size: 1 << 10, Logs: 2, Total: 4 << 20,
				Warmup: time.Millisecond, Duration: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if got.Records < 1 || got.Bytes != got.Records*1024 {
				t.Errorf("%v records, %v bytes", got.Records, got.Bytes)
			}
		})
	}
}

func TestWritersKeepTheirRateBesideReaders(t *testing.T) {
	got, err := Run(t.Context(), Task{What: CatchUp, Dir: t.TempDir(), Size: 1 << 10, Logs: 2, Settle: 4 << 20, Small: true, Writers: 4,
		Readers: 2, Cold: true, Rate: 100, Warmup: time.Millisecond, Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got.Records < 1 || got.P99 <= 0 {
		t.Errorf("%+v", got)
	}
}

func TestWritersAtASteadyRateKeepIt(t *testing.T) {
	got, err := Run(t.Context(), Task{What: Paced, Dir: t.TempDir(), Size: 1 << 10, Logs: 3, Writers: 4, Rate: 200,
		Settle: 1 << 20, Small: true, Warmup: time.Millisecond, Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got.Records < 1 || got.CPU <= 0 {
		t.Errorf("%+v", got)
	}
}

func TestWhatAWorkerCannotDoIsToldWithItsWords(t *testing.T) {
	for _, task := range []Task{
		{What: "juggle"},
		{What: AppendEngine, Dir: "/proc/no/such/place", Writers: 1, Size: 1, Logs: 1},
	} {
		if _, err := Run(t.Context(), task); err == nil {
			t.Errorf("%s: no error", task.What)
		} else {
			t.Log(err)
		}
	}
}

func TestAMeterCountsOnlyWhileItIsOn(t *testing.T) {
	m := newMeter()
	m.count(0, time.Now(), 1, 10)
	m.start()
	m.count(1, time.Now(), 2, 20)
	m.count(17, time.Now(), 3, 30)
	r := m.stop()
	m.count(2, time.Now(), 4, 40)
	if r.Records != 5 || r.Bytes != 50 {
		t.Errorf("counted %v records, %v bytes", r.Records, r.Bytes)
	}
}
