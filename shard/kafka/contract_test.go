package kafka

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func quiet() *slog.Logger {
	if os.Getenv("SLUICE_TEST_LOG") != "" {
		return slog.Default()
	}
	return slog.New(slog.DiscardHandler)
}

// fake starts brokers in this process.
func fake(t testing.TB, brokers int) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers))
	if err != nil {
		t.Fatalf("start kfake: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

func options(brokers []string) Options {
	return Options{Config: Config{Brokers: brokers}, Logger: quiet()}
}

func mustOpen(t testing.TB, opts Options) *Engine {
	t.Helper()
	e, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return e
}

func harness(t *testing.T, opts Options) shardtest.Harness {
	e := mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	return shardtest.Harness{
		Engine: e,
		Reopen: func(t *testing.T) shard.Engine {
			if err := e.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			e = mustOpen(t, opts)
			return e
		},
		Crash: func(t *testing.T) shard.Engine {
			e.kill()
			e = mustOpen(t, opts)
			return e
		},
		Fail: func(cause error) { e.fail(cause) },

		Surplus: 1 << 20,
	}
}

func TestEngineKeepsTheContractOnAFake(t *testing.T) {
	opts := options(fake(t, 3).ListenAddrs())
	shardtest.Run(t, func(t *testing.T) shardtest.Harness { return harness(t, opts) })
}

// fewerChecks bounds how often the property test is tried where a try is slow. A flag on the command line wins.
func fewerChecks(t *testing.T, n string) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() != checks.DefValue {
		return
	}
	before := checks.Value.String()
	if err := flag.Set("rapid.checks", n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", before) })
}

func TestEngineKeepsTheContractOnARealBroker(t *testing.T) {
	fewerChecks(t, "8")
	opts := options(one.Cluster(t).Addresses(kafkatest.Plain))
	shardtest.Run(t, func(t *testing.T) shardtest.Harness { return harness(t, opts) })
}
