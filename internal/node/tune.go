package node

import (
	"os"
	"runtime"
	"runtime/debug"
)

// Tune fits the process to what a server of logs does, unless the environment says otherwise in Go's own way. The garbage
// collector does not let the heap grow to twice what is in use. The two threads that write the log, which are in system
// calls most of the time, get processors of Go's beside those for the cores: a thread in fdatasync keeps its own for a
// while (bench/README.md has what that costs). And no thread keeps a core for long while others wait for it.
func Tune(config Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(config.MemoryLimit())
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
	shortSlices()
}
