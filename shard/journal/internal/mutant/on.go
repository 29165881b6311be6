//go:build mutant

package mutant

import (
	"fmt"
	"slices"
)

var active Mutant

// On tells whether the engine is broken in this way.
func On(m Mutant) bool { return m == active }

// Any tells whether it is broken at all.
func Any() bool { return active != "" }

// Set breaks the engine. It is for the beginning of a test.
func Set(name string) error {
	if !slices.Contains(All, Mutant(name)) {
		return fmt.Errorf("there is no mutant %q", name)
	}
	active = Mutant(name)
	return nil
}
