//go:build amd64 || arm64

// Package prefetch asks the processor for memory ahead of its use.
package prefetch

import "unsafe"

// Line begins to bring the cache line of an address, which is soon to be written, near to the processor. It waits for nothing,
// and changes nothing that a program can see.
//
//go:noescape
func Line(p unsafe.Pointer)
