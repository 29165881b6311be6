package kafka

import (
	"slices"
	"testing"
)

// TestTrimsDoNotGoBackWhenKafkaForgetsThem has a broker that does not do what DeleteRecords asks, as one that was killed
// has not done it.
func TestTrimsDoNotGoBackWhenKafkaForgetsThem(t *testing.T) {
	cluster := fake(t, 1)
	refuseTrims(cluster)
	opts := options(cluster.ListenAddrs())
	e := mustOpen(t, opts)
	l := makeLog(t, e, "log")
	at := mustAppend(t, l, "a", "b", "c")
	if err := l.Trim(within(t), at.First+1); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e.kill()
		e = mustOpen(t, opts)
		l = openLog(t, e, "log", 0)
		if got := valuesOf(readAll(t, l)); !slices.Equal(got, []string{"b", "c"}) {
			t.Fatalf("read %q", got)
		}
		if first, _ := l.Bounds(); first != at.First+1 {
			t.Fatalf("the log begins at %d, was trimmed before %d", first, at.First+1)
		}
	}
	t.Cleanup(func() { e.Close() })
}
