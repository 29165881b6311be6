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
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			// Long before so many points each has been noticed; one that is not fails the test.
			run := exec.CommandContext(ctx, program, "-test.run", "^TestWhatAnObserverKnows", "-campaign.points", "30000",
				"-campaign.mutant", string(m))
			run.Env = append(os.Environ(), "GOMAXPROCS=1") // one run after the other: the first that notices ends it
			out, err := run.CombinedOutput()
			found := noticed.Find(out)
			if err == nil || ctx.Err() != nil || found == nil {
				t.Fatalf("the campaign has not noticed: %v\n%s", err, out)
			}
			t.Logf("%.300s", found)
		})
	}
}
