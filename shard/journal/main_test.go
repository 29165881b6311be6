package journal

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	decoder() // what a bubble of testing/synctest makes is of no use outside of it
	goleak.VerifyTestMain(m)
}
