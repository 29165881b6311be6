package main

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/bench/baseline"
	"github.com/seed-462d9463/sluice/bench/worker"
)

func TestMain(m *testing.M) {
	// As the program itself does, its test plays the trivial handler when it is told to.
	if len(os.Args) == 3 && os.Args[1] == trivialRole {
		if err := baseline.ServeTrivial(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == worker.Role {
		if err := worker.Main(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// Small enough to be quick, with everything in it: real servers, real signatures, objects that are verified.
func TestEveryScenarioWorksAgainstTheRealServer(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts the server")
	}
	defer http.DefaultClient.CloseIdleConnections()
	binary, clean, err := build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := clean(); err != nil {
			t.Error(err)
		}
	}()
	get := getRecords()
	get.total = 4 << 20
	deliver := delivery()
	deliver.streams, deliver.buffer = 2, 1
	for _, sc := range []scenario{putRecord(), putRecords(200), putToEvent(), putBesideGets(get), ingestLines(), get.scenario(),
		deliver.scenario(), appends{writers: 4, size: 1 << 10, logs: 2}.scenario()} {
		t.Run(sc.name, func(t *testing.T) {
			s := &stage{options: options{runs: 1, duration: 50 * time.Millisecond, warmup: time.Millisecond, shards: 2,
				signatures: "both", dataDir: t.TempDir(), binary: binary}}
			if sc.name == "put-record" { // one is enough
				s.settled = 4 << 20
			}
			if sc.name == "delivery" { // a profile takes a second; one is enough
				s.profileDir = t.TempDir()
			}
			result, err := s.play(t.Context(), sc)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range result.Contests {
				if c.Median.Requests < 1 || c.Median.Bytes < 1 {
					t.Errorf("%s has moved nothing: %+v", c.Name, c.Median)
				}
			}
			if last := result.Contests[len(result.Contests)-1]; sc.name == "put-beside-gets" && last.Median.ReadRate <= 0 {
				t.Error("nothing has been read beside the puts")
			}
			if s.profileDir != "" {
				if entries, err := os.ReadDir(s.profileDir); err != nil || len(entries) == 0 {
					t.Errorf("no profiles: %v", err)
				}
			}
			if entries, err := os.ReadDir(s.dataDir); err != nil || len(entries) != 0 {
				t.Errorf("data was left behind: %v, %v", entries, err)
			}
		})
	}
}
