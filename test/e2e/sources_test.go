package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// lookAtSources looks at the files that the binary is built from, and at the clients. Go takes what a test said from its cache as
// long as no file has changed that the process has looked at while its tests ran; it does not see what other commands build and run.
var lookAtSources = sync.OnceValue(func() error {
	const ours = "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}"
	list := exec.Command("go", "list", "-deps", "-f", ours, "../../cmd/sluice")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the packages of sluice: %w", err)
	}
	_, noMod := os.Stat("../../go.mod")
	_, noSum := os.Stat("../../go.sum")
	noClients := filepath.WalkDir("clients", func(_ string, _ fs.DirEntry, err error) error { return err })
	errs := []error{noMod, noSum, noClients}
	for dir := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		_, err := os.ReadDir(dir)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
})
