package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Validation collects what is wrong with an input, in AWS's words:
//
//	1 validation error detected: Value '…' at 'streamName' failed to satisfy constraint: Member must …
//
// Members are given by their path as AWS writes it, "records.1.member.partitionKey". The zero value has found
// nothing wrong.
type Validation struct{ problems []string }

// AWS tells of ten problems at most.
const maxProblems = 10

// Fault returns a ValidationException that tells all problems, or nil if there are none.
func (v *Validation) Fault() error {
	n := len(v.problems)
	if n == 0 {
		return nil
	}
	text := strconv.Itoa(n) + " validation error"
	if n > 1 {
		text += "s"
	}
	return &Fault{Code: "ValidationException", Message: text + " detected: " + strings.Join(v.problems, "; ")}
}

// Full tells that no more problems will be told.
func (v *Validation) Full() bool { return len(v.problems) >= maxProblems }

func (v *Validation) add(value, path, constraint string) {
	if !v.Full() {
		v.problems = append(v.problems, "Value "+value+" at '"+path+"' failed to satisfy constraint: "+constraint)
	}
}

// Missing tells that a required member is not there.
func (v *Validation) Missing(path string) { v.add("null", path, "Member must not be null") }

// MinLength and MaxLength tell that a value is too short or too long. The value is as it is to be shown.
func (v *Validation) MinLength(value, path string, limit int) {
	v.add(quote(value), path, "Member must have length greater than or equal to "+strconv.Itoa(limit))
}

// MaxLength is described with MinLength.
func (v *Validation) MaxLength(value, path string, limit int) {
	v.add(quote(value), path, "Member must have length less than or equal to "+strconv.Itoa(limit))
}

// Pattern tells that a value does not match a pattern, which is given as in AWS's model.
func (v *Validation) Pattern(value, path, pattern string) {
	v.add(quote(value), path, "Member must satisfy regular expression pattern: "+pattern)
}

// String checks a string's pattern and length, in characters.
func (v *Validation) String(value, path string, rule *StringRule) {
	if rule.Match != nil && !rule.Match(value) {
		v.Pattern(value, path, rule.Pattern)
	}
	switch n := utf8.RuneCountInString(value); {
	case n < rule.Min:
		v.MinLength(value, path, rule.Min)
	case n > rule.Max:
		v.MaxLength(value, path, rule.Max)
	}
}

// Optional checks a string that may be absent.
func (v *Validation) Optional(value *string, path string, rule *StringRule) {
	if value != nil {
		v.String(*value, path, rule)
	}
}

// Required checks a string that must be there.
func (v *Validation) Required(value *string, path string, rule *StringRule) {
	if value == nil {
		v.Missing(path)
		return
	}
	v.String(*value, path, rule)
}

// Range checks a number that may be absent.
func (v *Validation) Range(value *int32, path string, low, high int32) {
	if value == nil {
		return
	}
	text := "'" + strconv.Itoa(int(*value)) + "'"
	switch {
	case *value < low:
		v.add(text, path, "Member must have value greater than or equal to "+strconv.Itoa(int(low)))
	case *value > high:
		v.add(text, path, "Member must have value less than or equal to "+strconv.Itoa(int(high)))
	}
}

// Enum checks a string that must be one of a set.
func (v *Validation) Enum(value, path string, set ...string) {
	for _, allowed := range set {
		if value == allowed {
			return
		}
	}
	v.add(quote(value), path, "Member must satisfy enum value set: ["+strings.Join(set, ", ")+"]")
}

// Keys and values of a tag map are told of together, as AWS does.
func (v *Validation) mapPart(m map[string]string, path, what string, low, high int) {
	var b strings.Builder
	for key, value := range m {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(key + "=" + value)
		if b.Len() > maxShown {
			break
		}
	}
	v.add(quote("{"+b.String()+"}"), path, what+" must satisfy constraint: [Member must have length less than or equal to "+
		strconv.Itoa(high)+", Member must have length greater than or equal to "+strconv.Itoa(low)+"]")
}

// Tags checks the lengths of a map of tags.
func (v *Validation) Tags(m map[string]string, path string, most int) {
	if m == nil {
		return
	}
	badKey, badValue := false, false
	for key, value := range m {
		n := utf8.RuneCountInString(key)
		badKey = badKey || n < 1 || n > 128
		badValue = badValue || utf8.RuneCountInString(value) > 256
	}
	if badKey {
		v.mapPart(m, path, "Map keys", 1, 128)
	}
	if badValue {
		v.mapPart(m, path, "Map value", 0, 256)
	}
	switch {
	case len(m) < 1:
		v.MinLength("{}", path, 1)
	case len(m) > most:
		v.MaxLength("{"+strconv.Itoa(len(m))+" members}", path, most)
	}
}

// StringRule is what a string must be.
type StringRule struct {
	Min, Max int    // characters
	Pattern  string // as AWS shows it
	Match    func(string) bool
}

// Blob shows bytes as AWS does.
func Blob(size int) string {
	n := strconv.Itoa(size)
	return "java.nio.HeapByteBuffer[pos=0 lim=" + n + " cap=" + n + "]"
}

// maxShown bounds what is repeated of a value, so that an answer is never much larger than its question.
const maxShown = 1024

func quote(value string) string {
	if len(value) > maxShown {
		value = value[:maxShown] + "…"
	}
	return "'" + strings.ToValidUTF8(value, "\uFFFD") + "'"
}
