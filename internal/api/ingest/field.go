package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed-462d9463/sluice/stream"
)

// field says where a record has its partition key: names of members, each inside the one before.
type field []string

// maxFieldNames bounds how deep a partition key may lie, maxFieldLength how long a path is, which stands in the
// answer once for each record that has no such field.
const (
	maxFieldNames  = 16
	maxFieldLength = 256
)

// parseField reads a path like user.id. A name with a dot in it cannot be given.
func parseField(path string) (field, error) {
	if len(path) > maxFieldLength {
		return nil, fmt.Errorf("the path of the partition key's field is longer than %d bytes", maxFieldLength)
	}
	names := strings.Split(strings.TrimPrefix(path, "."), ".")
	for _, name := range names {
		if name == "" || len(names) > maxFieldNames || !utf8.ValidString(name) {
			return nil, fmt.Errorf("the partition key's field must be a path like user.id, of at most %d names", maxFieldNames)
		}
	}
	return names, nil
}

func (f field) String() string { return strings.Join(f, ".") }

// appendKey appends the partition key of a record, which is valid JSON: a string's characters, or a number or true or
// false as written. At is where the value of the field's first name begins in the record, or 0 if that is not known. A flaw
// is why it has no key.
func (f field) appendKey(dst, record []byte, at int) (key []byte, flaw string) {
	value := record[space(record, 0):]
	for i, name := range f {
		if value[0] != '{' {
			if i == 0 {
				return dst, "The record is no object, and so has no " + f.String() + "."
			}
			return dst, "The record's " + f[:i].String() + " is no object."
		}
		if i == 0 && at > 0 {
			value = record[at:]
		} else if value = member(value, name); value == nil {
			return dst, "The record has no " + f[:i+1].String() + "."
		}
	}
	value = value[:skip(value, 0)]
	start := len(dst)
	switch value[0] {
	case '{', '[', 'n':
		return dst, "The record's " + f.String() + " is no string, number, true or false."
	case '"':
		dst = appendText(dst, value)
	default:
		dst = append(dst, value...)
	}
	if n := utf8.RuneCount(dst[start:]); n < 1 || n > stream.MaxPartitionKeyLength {
		return dst[:start], fmt.Sprintf("The record's %s has %d characters; a partition key has 1 to %d.", f, n, stream.MaxPartitionKeyLength)
	}
	return dst, ""
}

// member is where the value of an object's member begins, of the last one if several have the name; nil if there is none.
// The object is valid; more of the document may follow it, and the value.
func member(object []byte, name string) (value []byte) {
	for i := space(object, 1); object[i] != '}'; {
		end, _ := scanString(object, i)
		start := space(object, space(object, end)+1) // behind the colon
		if isText(object[i:end], name) {
			value = object[start:]
		}
		i = skip(object, start)
		if i = space(object, i); object[i] == ',' {
			i = space(object, i+1)
		}
	}
	return value
}

// isText tells whether a string, quotes and escapes included, stands for a text.
func isText(quoted []byte, text string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == text
	}
	return string(appendText(nil, quoted)) == text
}

// appendText appends what a valid string stands for.
func appendText(dst, quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return append(dst, quoted[1:len(quoted)-1]...)
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // it is valid; and escapes in keys are rare
	return append(dst, text...)
}
