// Command bench measures Sluice beside the least that could do the same job: a trivial net/http handler for
// requests, the bare encoder for delivery. README.md says how, and what came out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-462d9463/sluice/bench/baseline"
	"github.com/seed-462d9463/sluice/bench/worker"
)

// trivialRole as the first argument turns this program into the trivial handler; bench starts itself so.
const trivialRole = "serve-trivial-handler"

// options come from the command line.
type options struct {
	scenarios  []string
	runs       int
	duration   time.Duration
	warmup     time.Duration
	shards     int
	maxOthers  float64 // cores; 0: any
	signatures string  // on, off, both
	format     string  // markdown, json
	dataDir    string
	fabricated string
	binary     string
	profileDir string
	pageCache  string // as-is, full
	settled    int64  // bytes that a server takes before it is measured
}

func main() {
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
	all := scenarios()
	o, err := parseFlags(os.Args[1:], all)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o, all)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// scenarios lists all that can be measured.
func scenarios() []scenario {
	all := []scenario{
		putRecord(),
		putRecords(1<<10, coreBudget(unsignedName, 400), coreBudget(signedName, 250)),
		putRecords(200),
		ingestLines(),
		getRecords().scenario(),
		delivery().scenario(),
		putToEvent(),
		putBesideGets(getRecords()),
	}
	for i := range all {
		all[i].usual, all[i].serves = true, true
	}
	all = append(all, appendMatrix()...)
	many := tenThousandShards()
	all = append(all, engineReads()...)
	return append(all, logCounts(), trickle(), catchUp(), many.idle(), many.restart())
}

// choose returns the names of the scenarios that match any of the patterns (path.Match), separated by commas.
func choose(patterns string, all []scenario) (names []string, err error) {
	for _, pattern := range strings.Split(patterns, ",") {
		found := false
		for _, sc := range all {
			ok, err := path.Match(pattern, sc.name)
			if err != nil {
				return nil, fmt.Errorf("scenario %q: %w", pattern, err)
			}
			if ok {
				found = true
				names = append(names, sc.name)
			}
		}
		if !found {
			var there []string
			for _, sc := range all {
				there = append(there, sc.name)
			}
			return nil, fmt.Errorf("no scenario %q; there are %s", pattern, strings.Join(there, ", "))
		}
	}
	return names, nil
}

func parseFlags(args []string, all []scenario) (options, error) {
	var usual []string
	for _, sc := range all {
		if sc.usual {
			usual = append(usual, sc.name)
		}
	}
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	chosen := flags.String("scenario", strings.Join(usual, ","), "what to measure, separated by commas; "+
		"* stands for any letters: append-* is the engine alone")
	flags.IntVar(&o.runs, "runs", 5, "rounds of every scenario; the report gives their medians")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "how long each run lasts")
	flags.DurationVar(&o.warmup, "warmup", time.Second, "load before each run that is not measured")
	flags.IntVar(&o.shards, "shards", 4, "shards of the streams")
	flags.Float64Var(&o.maxOthers, "max-others", 0, "repeat a run in which other programs used more cores than this "+
		"(up to "+fmt.Sprint(maxRepeats)+" times; 0: take every run)")
	flags.StringVar(&o.signatures, "signatures", "both", "on: the server verifies signatures, off, or both in turn")
	flags.StringVar(&o.format, "format", "markdown", "of the report: markdown or json")
	flags.StringVar(&o.dataDir, "data", os.TempDir(), "directory, on the disk to measure, for temporary data (some GiB)")
	flags.StringVar(&o.fabricated, "fabricated", "", "directory for what restart starts from, which takes minutes to make: it is "+
		"made there if it is not yet, and kept")
	flags.StringVar(&o.binary, "sluice", "", "binary to measure; built from ./cmd/sluice when empty")
	flags.StringVar(&o.profileDir, "profile", "", "directory for CPU profiles, taken in an extra round")
	flags.StringVar(&o.pageCache, "page-cache", "as-is", "full: read zeros until no memory is free before each run of the engine "+
		"alone, as it is on a server that has run for a day; it takes as long as a minute for 16 GiB")
	fresh := flags.Bool("fresh", false, "measure servers as they start for the first time, with a journal that has yet to grow, and not when it has "+
		"grown (idle: always; not for the engine alone)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if !*fresh {
		o.settled = settleBytes
	}
	var err error
	if o.scenarios, err = choose(*chosen, all); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.runs < 1 || o.duration <= 0 || o.warmup < 0 || o.shards < 1 || o.maxOthers < 0:
		return o, errors.New("--runs, --duration and --shards must be positive, --warmup and --max-others not negative")
	case o.duration+o.warmup > 2*time.Minute:
		return o, errors.New("--duration and --warmup: together at most 2m, since signatures expire")
	case !slices.Contains([]string{"on", "off", "both"}, o.signatures):
		return o, fmt.Errorf("--signatures %q: on, off or both", o.signatures)
	case !slices.Contains([]string{"as-is", "full"}, o.pageCache):
		return o, fmt.Errorf("--page-cache %q: as-is or full", o.pageCache)
	case !slices.Contains([]string{"markdown", "json"}, o.format):
		return o, fmt.Errorf("--format %q: markdown or json", o.format)
	}
	return o, nil
}

func run(ctx context.Context, o options, all []scenario) (err error) {
	if o.binary == "" && slices.ContainsFunc(all, func(sc scenario) bool { return sc.serves && slices.Contains(o.scenarios, sc.name) }) {
		var clean func() error
		if o.binary, clean, err = build(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, clean()) }()
	}
	if o.profileDir != "" {
		if err := os.MkdirAll(o.profileDir, 0o755); err != nil {
			return err
		}
	}
	if o.settled == 0 && !slices.ContainsFunc(all, func(sc scenario) bool { return sc.usual && slices.Contains(o.scenarios, sc.name) }) {
		return errors.New("--fresh is for scenarios of the server, and none of them was chosen")
	}
	var memory *worker.PageCache
	if o.pageCache == "full" {
		if !slices.ContainsFunc(all, func(sc scenario) bool { return !sc.serves && slices.Contains(o.scenarios, sc.name) }) {
			return errors.New("--page-cache full is for scenarios of the engine alone, and none of them was chosen")
		}
		if memory, err = worker.OpenPageCache(o.dataDir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, memory.Close()) }()
	}
	report := report{Machine: describeMachine(o.dataDir), Started: time.Now().UTC(), Options: o.String()}
	for _, sc := range all {
		if !slices.Contains(o.scenarios, sc.name) {
			continue
		}
		stage := &stage{options: o, memory: memory}
		var result outcome
		if result, err = stage.play(ctx, sc); err != nil {
			err = fmt.Errorf("%s: %w", sc.name, err)
			break // what was measured before is reported all the same
		}
		report.Outcomes = append(report.Outcomes, result)
	}
	if o.format == "json" {
		return errors.Join(err, report.writeJSON(os.Stdout))
	}
	return errors.Join(err, report.writeMarkdown(os.Stdout))
}

// String says what the figures depend on.
func (o options) String() string {
	return fmt.Sprintf("--runs %d --duration %v --warmup %v --shards %d --max-others %v --page-cache %s --fresh=%v",
		o.runs, o.duration, o.warmup, o.shards, o.maxOthers, o.pageCache, o.settled == 0)
}

// build compiles the server as users run it.
func build(ctx context.Context) (binary string, clean func() error, err error) {
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", nil, fmt.Errorf("bench must be run within its repository: %w", err)
	}
	dir, err := os.MkdirTemp("", "sluice-bench-bin-")
	if err != nil {
		return "", nil, err
	}
	clean = func() error { return os.RemoveAll(dir) }
	binary = filepath.Join(dir, "sluice")
	slog.Info("building", "binary", binary)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/sluice")
	command.Dir = strings.TrimSpace(string(module))
	if output, err := command.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("building sluice: %w\n%s", err, output), clean())
	}
	return binary, clean, nil
}
