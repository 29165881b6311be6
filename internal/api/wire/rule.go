package wire

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Rule is what AWS's service model says that a value must be. A service has its rules in a generated table.
type Rule struct {
	// Min and Max bound the characters of a string, the bytes of a blob, the elements of a list or a map, and
	// the value of a number. A Max of 0 is none; of a number NoMin is none.
	Min, Max int64
	Pattern  string   // of a string, which has to match as a whole; "" for any
	Enum     []string // of a string: what it may be, in AWS's order
	Element  *Rule    // of what is in a list, and of the values of a map
	Key      *Rule    // of the keys of a map
	Members  []Member // of a structure
}

// NoMin is the Min of a number that may be any.
const NoMin = -1 << 63

// Member is a member of a structure. They stand in the order in which AWS tells what is wrong with them.
type Member struct {
	Name     string
	Required bool
	Or       string // a member that may be there instead of this required one
	Rule     *Rule  // nil if it may be anything of its type
}

// Rules returns a function that checks a shape. The rules must name all members of the shape and no other: so no
// member of an operation is forgotten, neither by its shape nor by its rules. Else it panics, which it does when a
// service is put together. The error is a *Fault with the code ValidationException.
func Rules[T any](members []Member) func(*T) error {
	check := checkStruct(reflect.TypeFor[T](), members)
	return func(in *T) error {
		var v Validation
		check(&v, reflect.ValueOf(in).Elem(), "")
		return v.Fault()
	}
}

// checkFunc checks a value that is there.
type checkFunc func(v *Validation, value reflect.Value, path string)

// checkStruct makes a checkFunc whose path is the structure's with a dot, or "".
func checkStruct(t reflect.Type, members []Member) checkFunc {
	type field struct {
		index, or int // or is −1 if there is none
		path      string
		required  bool
		check     checkFunc // nil if there is nothing to check
	}
	index := func(name string) int {
		f, ok := t.FieldByName(name)
		if !ok || len(f.Index) != 1 {
			panic(fmt.Sprintf("wire: %v has no field %s", t, name))
		}
		return f.Index[0]
	}
	fields := make([]field, 0, len(members))
	known := map[string]bool{}
	for _, m := range members {
		known[m.Name] = true
		f := field{index: index(m.Name), or: -1, path: lowerFirst(m.Name), required: m.Required}
		if m.Or != "" {
			f.or = index(m.Or)
		}
		if m.Rule != nil {
			f.check = checkValue(t.Field(f.index).Type, m.Rule)
		}
		fields = append(fields, f)
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && f.Type != unknownType && !known[f.Name] {
			panic(fmt.Sprintf("wire: there is no rule for %v.%s", t, f.Name))
		}
	}
	return func(v *Validation, value reflect.Value, path string) {
		for i := range fields {
			f := &fields[i]
			switch member := value.Field(f.index); {
			case v.Full():
				return
			case missing(member):
				if f.required && (f.or < 0 || missing(value.Field(f.or))) {
					v.Missing(path + f.path)
				}
			case f.check != nil:
				f.check(v, member, path+f.path)
			}
		}
	}
}

// missing tells whether a member of an input is not there. An empty string without a pointer to it is, because such a
// member is an element of a list or a map.
func missing(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	case reflect.Struct:
		return v.Type() == timestampType && v.Interface().(Timestamp).IsZero()
	}
	return false
}

// checkValue makes the function for a value that is there.
func checkValue(t reflect.Type, r *Rule) checkFunc {
	switch t.Kind() {
	case reflect.Pointer:
		check := checkValue(t.Elem(), r)
		return func(v *Validation, value reflect.Value, path string) { check(v, value.Elem(), path) }
	case reflect.String:
		rule := r.StringRule()
		return func(v *Validation, value reflect.Value, path string) { v.String(value.String(), path, rule) }
	case reflect.Int32, reflect.Int64:
		return func(v *Validation, value reflect.Value, path string) { v.number(value.Int(), path, r) }
	case reflect.Struct:
		check := checkStruct(t, r.Members)
		return func(v *Validation, value reflect.Value, path string) { check(v, value, path+".") }
	case reflect.Map:
		return checkMap(r)
	case reflect.Slice:
		switch t.Elem().Kind() {
		case reflect.Uint8:
			return func(v *Validation, value reflect.Value, path string) {
				v.length(Blob(value.Len()), path, value.Len(), r)
			}
		case reflect.String:
			return checkStrings(r)
		case reflect.Struct:
			return checkStructs(t.Elem(), r)
		}
	}
	panic(fmt.Sprintf("wire: there are no rules for a %v", t))
}

// StringRule compiles what a string must be.
func (r *Rule) StringRule() *StringRule {
	s := &StringRule{Min: int(r.Min), Max: int(r.Max), Pattern: r.Pattern, Enum: r.Enum}
	if r.Pattern != "" {
		s.Match = regexp.MustCompile(`^(?:` + r.Pattern + `)$`).MatchString
	}
	return s
}

// parts tells what the elements of a list or the keys or values of a map must be, as AWS tells it of all together.
func (s *StringRule) parts() string {
	var parts []string
	if s.Max > 0 {
		parts = append(parts, textMaxLength+strconv.Itoa(s.Max), textMinLength+strconv.Itoa(s.Min))
	}
	if s.Pattern != "" {
		parts = append(parts, textPattern+s.Pattern)
	}
	if s.Enum != nil {
		parts = append(parts, textEnum(s.Enum))
	}
	return "must satisfy constraint: [" + strings.Join(parts, ", ") + "]"
}

// ok tells whether a string is what it must be.
func (s *StringRule) ok(value string) bool {
	n := utf8.RuneCountInString(value)
	return n >= s.Min && (s.Max == 0 || n <= s.Max) && (s.Match == nil || s.Match(value)) &&
		(s.Enum == nil || slices.Contains(s.Enum, value))
}

func checkStrings(r *Rule) checkFunc {
	element := &StringRule{}
	if r.Element != nil {
		element = r.Element.StringRule()
	}
	return func(v *Validation, value reflect.Value, path string) {
		list := value.Interface().([]string)
		if slices.ContainsFunc(list, func(s string) bool { return !element.ok(s) }) {
			v.add(quote(showList(list)), path, "Member "+element.parts())
		}
		v.length(showList(list), path, len(list), r)
	}
}

func checkMap(r *Rule) checkFunc {
	key, element := r.Key.StringRule(), r.Element.StringRule()
	return func(v *Validation, value reflect.Value, path string) {
		m := value.Interface().(map[string]string)
		badKey, badValue := false, false
		for k, e := range m {
			badKey, badValue = badKey || !key.ok(k), badValue || !element.ok(e)
		}
		if badKey {
			v.add(quote(showMap(m)), path, "Map keys "+key.parts())
		}
		if badValue {
			v.add(quote(showMap(m)), path, "Map value "+element.parts())
		}
		v.length(showMap(m), path, len(m), r)
	}
}

func checkStructs(t reflect.Type, r *Rule) checkFunc {
	check := checkStruct(t, r.Element.Members)
	return func(v *Validation, value reflect.Value, path string) {
		n := value.Len()
		shown := showMembers(n)
		if r.Max > 0 && n > int(r.Max) {
			shown = "[more than " + strconv.FormatInt(r.Max, 10) + " members]" // a shape need not hold them all
		}
		v.length(shown, path, n, r)
		for i := range n {
			if v.Full() {
				return
			}
			check(v, value.Index(i), path+"."+strconv.Itoa(i+1)+".member.")
		}
	}
}

// length checks the length of what is shown so.
func (v *Validation) length(shown, path string, n int, r *Rule) {
	switch {
	case int64(n) < r.Min:
		v.MinLength(shown, path, int(r.Min))
	case r.Max > 0 && int64(n) > r.Max:
		v.MaxLength(shown, path, int(r.Max))
	}
}

func (v *Validation) number(n int64, path string, r *Rule) {
	text := "'" + strconv.FormatInt(n, 10) + "'"
	switch {
	case n < r.Min:
		v.add(text, path, "Member must have value greater than or equal to "+strconv.FormatInt(r.Min, 10))
	case r.Max != 0 && n > r.Max:
		v.add(text, path, "Member must have value less than or equal to "+strconv.FormatInt(r.Max, 10))
	}
}

// showMembers shows a list of structures, of which AWS shows addresses in its memory.
func showMembers(n int) string {
	if n == 0 {
		return "[]"
	}
	return "[" + strconv.Itoa(n) + " members]"
}

func showList(list []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range list {
		if b.Len() > maxShown {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s)
	}
	b.WriteByte(']')
	return b.String()
}

// showMap shows a map in the order of its keys; AWS's order follows from hashes.
func showMap(m map[string]string) string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var b strings.Builder
	b.WriteByte('{')
	for i, key := range keys {
		if b.Len() > maxShown {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(key + "=" + m[key])
	}
	b.WriteByte('}')
	return b.String()
}

func lowerFirst(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(first)) + name[size:]
}
