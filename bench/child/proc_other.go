//go:build !linux

package child

import (
	"context"
	"errors"
	"syscall"
	"time"
)

var errNoProc = errors.New("what a process costs is read from /proc, which only Linux has")

func diesWithParent() *syscall.SysProcAttr { return nil }
func cpuOf(int) (time.Duration, error)     { return 0, errNoProc }
func peakOf(int) (int64, error)            { return 0, errNoProc }
func residentOf(int) (int64, error)        { return 0, errNoProc }
func openFilesOf(int) (int, error)         { return 0, errNoProc }
func resetPeakOf(int) error                { return errNoProc }

// MachineCPU is known on Linux only.
func MachineCPU() (time.Duration, error) { return 0, errNoProc }

// OwnCPU is known on Linux only.
func OwnCPU() (time.Duration, error) { return 0, errNoProc }

// SettleDisk knows no disks.
func SettleDisk(context.Context, string, time.Duration) error { return nil }
