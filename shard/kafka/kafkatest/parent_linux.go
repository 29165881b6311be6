package kafkatest

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps a test that is killed from leaving its brokers behind.
func dieWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
