//go:build mutant

package journal

import (
	"flag"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

func init() { flag.Func("campaign.mutant", "how the engine is broken", mutant.Set) }
