package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// lookAtSources looks at the files that the binary is built from. Go takes what a test said from its cache as long as no file has
// changed that the process has looked at while its tests ran; it does not see what is built by another command.
var lookAtSources = sync.OnceValue(func() error {
	const ours = "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}"
	out, err := exec.Command("go", "list", "-deps", "-f", ours, "../../cmd/sluice").Output()
	if err != nil {
		return fmt.Errorf("list the packages of sluice: %w", err)
	}
	_, err = os.Stat("../../go.sum")
	errs := []error{err}
	for dir := range strings.FieldsSeq(string(out)) {
		_, err := os.ReadDir(dir)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
})
