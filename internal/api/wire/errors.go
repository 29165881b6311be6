package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// SyntaxError says that a body is not what its content type promises.
type SyntaxError struct {
	Format string // "JSON" or "CBOR"
	Offset int    // bytes into the body
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("The request body is not valid %s: %s at byte %d.", e.Format, e.Reason, e.Offset)
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

// notBoolean is the error for a text where a boolean was wanted.
func notBoolean(s []byte) *TypeError {
	text := bytes.ToUpper(s[:min(len(s), 64)])
	return &TypeError{"'" + string(bytes.ToValidUTF8(text, nil)) + "' can not be converted to an Boolean"}
}

// mismatch is the error for a value that begins with the byte got where another type was wanted; 'b' stands for the
// byte strings of CBOR.
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
	case 'b':
		return &TypeError{"class java.nio.HeapByteBuffer can not be converted to " + string(w)}
	case 't', 'f':
		return &TypeError{"class java.lang.Boolean can not be converted to " + string(w)}
	}
	return &TypeError{"class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to " + string(w)}
}

// shownBlob is how much of a value that is not base64 is shown. AWS shows all of it; here an answer is never
// larger than its question.
const shownBlob = 128

// badBlob is a string that is not base64: its first bytes, those from where decoding failed on, and its length.
type badBlob struct {
	length int
	head   []byte // at most shownBlob
	rest   []byte // behind head; what is missing between them is good
	breaks bool   // it has line breaks, and maybe nothing else that is wrong
}

func (b *badBlob) has(test func(byte) bool) bool {
	return slices.ContainsFunc(b.head, test) || slices.ContainsFunc(b.rest, test)
}

func (b *badBlob) err() *TypeError {
	text := string(b.head)
	if b.length > len(b.head) {
		text += "…"
	}
	prefix := "'" + strings.ToValidUTF8(text, "\uFFFD") + "' can not be converted to a Blob: "
	if b.length%4 != 0 {
		return &TypeError{fmt.Sprintf("%sBase64 encoded length is expected a multiple of 4 bytes but found: %d", prefix, b.length)}
	}
	padding := b.length - 1 // from where on '=' may stand
	if bytes.HasSuffix(b.rest, []byte("=")) || len(b.rest) == 0 && bytes.HasSuffix(b.head, []byte("=")) {
		padding--
	}
	for _, part := range []struct {
		bytes []byte
		start int // in the value
	}{{b.head, 0}, {b.rest, b.length - len(b.rest)}} {
		for i, c := range part.bytes {
			if !isBase64(c) && (c != '=' || part.start+i < padding) {
				return &TypeError{prefix + "Invalid Base64 character: '" + strings.ToValidUTF8(string(part.bytes[i:i+1]), "\uFFFD") + "'"}
			}
		}
	}
	return &TypeError{prefix + "Invalid last non-pad Base64 character dectected"}
}

func isBase64(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}
