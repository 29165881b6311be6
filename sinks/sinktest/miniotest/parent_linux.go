package miniotest

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps a test that is killed from leaving its server behind.
func dieWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
