package kafka

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

// one is the broker of all tests that do not break it.
var one = kafkatest.NewShared(kafkatest.Options{Secure: true})

func TestMain(m *testing.M) {
	code := m.Run()
	if err := one.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
