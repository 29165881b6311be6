//go:build !linux

package kafkatest

import "os/exec"

// dieWithParent does nothing where the system has no means for it.
func dieWithParent(*exec.Cmd) {}
