package shardtest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryKeepsTheContractOfALog(t *testing.T) {
	shardtest.Run(t, func(t *testing.T) shardtest.Harness {
		m := shardtest.NewMemory()
		t.Cleanup(func() {
			if err := m.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return shardtest.Harness{Engine: m, Fail: m.Fail, Surplus: 1}
	})
}
