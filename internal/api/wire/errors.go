package wire

import (
	"fmt"
	"strings"
)

// SyntaxError says that a body is not what its content type promises.
type SyntaxError struct {
	Offset int // bytes into the body
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("The request body is not valid JSON: %s at byte %d.", e.Reason, e.Offset)
}

// TypeError says that a member has a value of the wrong type. Its text is AWS's own.
type TypeError struct{ Message string }

func (e *TypeError) Error() string { return e.Message }

// want is a type that a member must have, by the name that AWS's errors give it.
type want string

const (
	wantString    want = "an String"
	wantInteger   want = "an Integer"
	wantLong      want = "an Long"
	wantBoolean   want = "an Boolean"
	wantBlob      want = "a Blob"
	wantTimestamp want = "a Timestamp"
	wantList      want = "list"
	wantMap       want = "map"
	wantStructure want = "structure"
)

// mismatch is the error for a value that begins with the byte got where another type was wanted.
func mismatch(w want, got byte) *TypeError {
	switch w {
	case wantList, wantMap:
		switch got {
		case '{':
			return &TypeError{"Start of structure or map found where not expected."}
		case '[':
			return &TypeError{"Start of list found where not expected"}
		}
		return &TypeError{"Expected " + string(w) + " or null"}
	case wantStructure:
		if got == '[' {
			return &TypeError{"Start of list found where not expected"}
		}
		return &TypeError{"Expected null"}
	}
	switch got {
	case '{':
		return &TypeError{"Start of structure or map found where not expected."}
	case '[':
		return &TypeError{"Start of list found where not expected"}
	case '"':
		return &TypeError{"class java.lang.String can not be converted to " + string(w)}
	case 't', 'f':
		return &TypeError{"class java.lang.Boolean can not be converted to " + string(w)}
	}
	return &TypeError{"class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to " + string(w)}
}

// badBlob is the error for a string that is not base64. AWS shows the whole value; here a long one is cut, so
// that an answer is never larger than a question.
func badBlob(value []byte) *TypeError {
	text := string(value[:min(len(value), 128)])
	if len(value) > 128 {
		text += "…"
	}
	prefix := "'" + strings.ToValidUTF8(text, "\uFFFD") + "' can not be converted to a Blob: "
	if len(value)%4 != 0 {
		return &TypeError{fmt.Sprintf("%sBase64 encoded length is expected a multiple of 4 bytes but found: %d", prefix, len(value))}
	}
	for i, c := range value {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '/':
			continue
		case c == '=' && (i == len(value)-1 || i == len(value)-2 && value[i+1] == '='):
			continue
		}
		return &TypeError{prefix + "Invalid Base64 character: '" + strings.ToValidUTF8(string(value[i:i+1]), "\uFFFD") + "'"}
	}
	return &TypeError{prefix + "Invalid last non-pad Base64 character dectected"}
}
