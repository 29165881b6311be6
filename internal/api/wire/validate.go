package wire

import (
	"slices"
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

// What AWS says that a member must do.
const (
	textMinLength = "Member must have length greater than or equal to "
	textMaxLength = "Member must have length less than or equal to "
	textPattern   = "Member must satisfy regular expression pattern: "
)

func textEnum(set []string) string {
	return "Member must satisfy enum value set: [" + strings.Join(set, ", ") + "]"
}

// MinLength and MaxLength tell that a value is too short or too long. The value is as it is to be shown.
func (v *Validation) MinLength(value, path string, limit int) {
	v.add(quote(value), path, textMinLength+strconv.Itoa(limit))
}

// MaxLength is described with MinLength.
func (v *Validation) MaxLength(value, path string, limit int) {
	v.add(quote(value), path, textMaxLength+strconv.Itoa(limit))
}

// String checks a string's pattern, its length in characters, and that it is in its set.
func (v *Validation) String(value, path string, rule *StringRule) {
	if rule.Match != nil && !rule.Match(value) {
		v.add(quote(value), path, textPattern+rule.Pattern)
	}
	switch n := utf8.RuneCountInString(value); {
	case n < rule.Min:
		v.MinLength(value, path, rule.Min)
	case rule.Max > 0 && n > rule.Max:
		v.MaxLength(value, path, rule.Max)
	}
	if rule.Enum != nil && !slices.Contains(rule.Enum, value) {
		v.add(quote(value), path, textEnum(rule.Enum))
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
	if !slices.Contains(set, value) {
		v.add(quote(value), path, textEnum(set))
	}
}

// StringRule is what a string must be.
type StringRule struct {
	Min, Max int    // characters; a Max of 0 is none
	Pattern  string // as AWS shows it
	Match    func(string) bool
	Enum     []string // what it may be; nil for anything
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
