//go:build !linux

package miniotest

import "os/exec"

// dieWithParent does nothing where the system has no means for it.
func dieWithParent(*exec.Cmd) {}
