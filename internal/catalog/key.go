package catalog

import (
	"cmp"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Key names a definition. Account, region and kind are 1 to 128 characters of a-z, A-Z, 0-9, '.', '_' and
// '-'; the name is 1 to 512 bytes of UTF-8 without control characters.
type Key struct {
	Account, Region, Kind, Name string
}

const (
	maxPart = 128
	maxName = 512
)

func (k Key) String() string {
	return k.Account + "/" + k.Region + "/" + k.Kind + "/" + k.Name
}

func (k Key) check() error {
	for _, part := range []struct{ what, value string }{{"account", k.Account}, {"region", k.Region}, {"kind", k.Kind}} {
		if err := checkPart(part.value); err != nil {
			return fmt.Errorf("%w: %s %.140q: %w", ErrInvalid, part.what, part.value, err)
		}
	}
	if err := checkName(k.Name); err != nil {
		return fmt.Errorf("%w: name %.520q: %w", ErrInvalid, k.Name, err)
	}
	return nil
}

func checkPart(s string) error {
	if len(s) < 1 || len(s) > maxPart {
		return fmt.Errorf("%d characters, want 1 to %d", len(s), maxPart)
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("the character %q is not allowed", c)
		}
	}
	return nil
}

func checkName(s string) error {
	if len(s) < 1 || len(s) > maxName {
		return fmt.Errorf("%d bytes, want 1 to %d", len(s), maxName)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("not UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("the control character %U is not allowed", r)
		}
	}
	return nil
}

func (k Key) group() group { return group{k.Account, k.Region, k.Kind} }

// group is what List lists.
type group struct{ account, region, kind string }

func (g group) compare(h group) int {
	return cmp.Or(cmp.Compare(g.kind, h.kind), cmp.Compare(g.account, h.account), cmp.Compare(g.region, h.region))
}
