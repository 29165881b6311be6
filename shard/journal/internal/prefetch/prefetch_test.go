package prefetch

import (
	"testing"
	"unsafe"
)

// Nothing can be seen of a prefetch, other than that it does no harm: at any address.
func TestLineDoesNoHarm(t *testing.T) {
	var x uint64 = 7
	Line(unsafe.Pointer(&x))
	Line(nil)
	if x != 7 {
		t.Errorf("the memory holds %d, want 7", x)
	}
}
