package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// machine says where the figures come from.
type machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	FileSystem string `json:"file_system"` // of the data directory
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores of %s, %s, %s %s, data on %s", m.Cores, m.CPU, m.Kernel, m.Go,
		m.Platform, m.FileSystem)
}

func describeMachine(dataDir string) machine {
	m := machine{CPU: "an unknown kind", Kernel: "unknown kernel", Cores: runtime.NumCPU(), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, FileSystem: fileSystemOf(dataDir)}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(info) {
			if name, value, ok := bytes.Cut(line, []byte(":")); ok && strings.TrimSpace(string(name)) == "model name" {
				m.CPU = strings.TrimSpace(string(value))
				break
			}
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(release))
	}
	return m
}

// fileSystemOf finds the mount that a directory is on: the longest mount point above it (proc(5), mounts).
func fileSystemOf(dir string) string {
	found := "an unknown file system"
	dir, err := filepath.Abs(dir)
	if err != nil {
		return found
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return found
	}
	longest := -1
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/")
		if (dir == point || strings.HasPrefix(dir, point+"/")) && len(point) >= longest {
			longest, found = len(point), fields[2]+" ("+fields[0]+")"
		}
	}
	return found
}
