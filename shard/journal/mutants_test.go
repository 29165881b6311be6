package journal

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// A campaign that finds nothing proves something only if it would have found it. Each mutant is an engine that is broken
// on purpose; the campaign must notice.
func TestTheCampaignNoticesEveryMutant(t *testing.T) {
	if testing.Short() || mutant.Any() {
		t.Skip("builds the package again")
	}
	program := filepath.Join(t.TempDir(), "mutants.test")
	build := exec.Command("go", "test", "-c", "-tags", "mutant", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with mutants: %v\n%s", err, out)
	}
	if len(mutant.All) < 20 {
		t.Errorf("%d mutants", len(mutant.All))
	}
	noticed := regexp.MustCompile(`seed \d+, life \d+, crash point \d+: .*|panic: .*|fatal error: .*`)
	for _, m := range mutant.All {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			// Each has been noticed before 5,000 points; one that is not after so many fails the test.
			run := exec.CommandContext(ctx, program, "-test.run", "^TestWhatAnObserverKnows", "-campaign.points", "30000",
				"-campaign.mutant", string(m))
			run.Env = append(os.Environ(), "GOMAXPROCS=1") // one run after the other: the first that notices ends it
			out, err := run.CombinedOutput()
			found := noticed.Find(out)
			switch {
			case found == nil && ctx.Err() != nil:
				t.Log("no end in sight: the engine hangs, which is noticed too, or the machine is very slow")
			case err == nil || found == nil:
				t.Errorf("the campaign has not noticed: %v\n%s", err, out)
			default:
				t.Logf("%.300s", found)
			}
		})
	}
}
