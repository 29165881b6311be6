package stream

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	keyForm   = `(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32})`
	aliasForm = `alias/[a-zA-Z0-9/_-]{1,250}`
)

// keyIDForm has the four ways to name a key: its id, its alias, and the ARN of either (AWS Key Management Service
// Developer Guide, "Key identifiers").
var keyIDForm = regexp.MustCompile(`^(?:` + keyForm + `|` + aliasForm +
	`|arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:(?:key/` + keyForm + `|` + aliasForm + `))$`)

// maxKeyIDLength is the API model's.
const maxKeyIDLength = 2048

// CheckKeyID returns an error that wraps ErrKeyNotFound unless the text has the form of a key's id.
func CheckKeyID(id string) error {
	if len(id) > maxKeyIDLength || !keyIDForm.MatchString(id) {
		return fmt.Errorf("%w: %q is neither a key id, an alias/NAME, nor the ARN of one", ErrKeyNotFound, clip(id))
	}
	return nil
}

// KeyName is a key's id without what an ARN has before it: alias/NAME, or the id itself.
func KeyName(id string) string {
	if !strings.HasPrefix(id, "arn:") {
		return id
	}
	return strings.TrimPrefix(id[strings.LastIndexByte(id, ':')+1:], "key/")
}
