//go:build !linux

package yield

// Core does nothing: only on Linux has it been seen to help.
func Core() {}
