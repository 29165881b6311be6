package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// condition is one key of one operator. Several values are alternatives; of an operator that negates none may match.
type condition struct {
	key      func(r *Request) (string, bool)
	match    []func(value string) bool
	negated  bool
	ifExists bool
	null     *bool // for Null: whether the key must be missing
}

func (c *condition) holds(r *Request) bool {
	value, there := c.key(r)
	switch {
	case c.null != nil:
		return *c.null != there
	case !there:
		return c.ifExists || c.negated
	}
	return slices.ContainsFunc(c.match, func(match func(string) bool) bool { return match(value) }) != c.negated
}

// keys are the condition keys that are known of a request, by their names in small letters.
var keys = map[string]func(r *Request) (string, bool){
	"aws:currenttime":      func(r *Request) (string, bool) { return r.Time.UTC().Format(time.RFC3339), true },
	"aws:epochtime":        func(r *Request) (string, bool) { return strconv.FormatInt(r.Time.Unix(), 10), true },
	"aws:principalaccount": func(r *Request) (string, bool) { return r.Account, true },
	"aws:principalarn":     func(r *Request) (string, bool) { return r.PrincipalARN(), true },
	"aws:principaltype":    func(*Request) (string, bool) { return "Account", true },
	"aws:requestedregion":  func(r *Request) (string, bool) { return r.Region, true },
	"aws:securetransport":  func(r *Request) (string, bool) { return strconv.FormatBool(r.Secure), true },
	"aws:sourceip":         func(r *Request) (string, bool) { return r.Address, r.Address != "" },
}

// operator makes a function that tells whether a value of a request matches one of a policy.
type operator func(want string) (func(value string) bool, error)

// operators are those of which a negation has the same name with Not in it; see parseOperator.
var operators = map[string]operator{
	"StringEquals": func(want string) (func(string) bool, error) {
		return func(value string) bool { return value == want }, nil
	},
	"StringEqualsIgnoreCase": func(want string) (func(string) bool, error) {
		return func(value string) bool { return strings.EqualFold(value, want) }, nil
	},
	"StringLike":               matchPattern,
	"ArnEquals":                matchARN,
	"ArnLike":                  matchARN,
	"NumericEquals":            compareNumbers(func(c int) bool { return c == 0 }),
	"NumericLessThan":          compareNumbers(func(c int) bool { return c < 0 }),
	"NumericLessThanEquals":    compareNumbers(func(c int) bool { return c <= 0 }),
	"NumericGreaterThan":       compareNumbers(func(c int) bool { return c > 0 }),
	"NumericGreaterThanEquals": compareNumbers(func(c int) bool { return c >= 0 }),
	"DateEquals":               compareDates(func(c int) bool { return c == 0 }),
	"DateLessThan":             compareDates(func(c int) bool { return c < 0 }),
	"DateLessThanEquals":       compareDates(func(c int) bool { return c <= 0 }),
	"DateGreaterThan":          compareDates(func(c int) bool { return c > 0 }),
	"DateGreaterThanEquals":    compareDates(func(c int) bool { return c >= 0 }),
	"Bool":                     matchBool,
	"IpAddress":                matchAddress,
}

// negations are the operators that hold where another one does not.
var negations = map[string]string{
	"StringNotEquals": "StringEquals", "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
	"StringNotLike": "StringLike", "ArnNotEquals": "ArnEquals", "ArnNotLike": "ArnLike",
	"NumericNotEquals": "NumericEquals", "DateNotEquals": "DateEquals", "NotIpAddress": "IpAddress",
}

// parseConditions reads the element Condition.
func parseConditions(raw map[string]map[string]texts) ([]condition, error) {
	var conditions []condition
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		for _, key := range slices.Sorted(maps.Keys(raw[name])) {
			c, err := parseCondition(name, key, raw[name][key])
			if err != nil {
				return nil, err
			}
			conditions = append(conditions, c)
		}
	}
	return conditions, nil
}

func parseCondition(name, key string, values texts) (condition, error) {
	var c condition
	if c.key = keys[strings.ToLower(key)]; c.key == nil {
		return c, fmt.Errorf("unsupported condition key: %s", clip(key))
	}
	if len(values) == 0 {
		return c, fmt.Errorf("the condition %s of %s has no value", clip(name), clip(key))
	}
	base, ifExists := strings.CutSuffix(name, "IfExists")
	c.ifExists = ifExists
	if base == "Null" && !ifExists {
		null, err := strconv.ParseBool(values[0])
		if err != nil || len(values) > 1 {
			return c, fmt.Errorf("the value of a condition Null must be true or false")
		}
		c.null = &null
		return c, nil
	}
	if positive, ok := negations[base]; ok {
		base, c.negated = positive, true
	}
	op := operators[base]
	if op == nil {
		return c, fmt.Errorf("unsupported condition operator: %s", clip(name))
	}
	for _, value := range values {
		match, err := op(value)
		if err != nil {
			return c, fmt.Errorf("invalid value %q in the condition %s", clip(value), clip(name))
		}
		c.match = append(c.match, match)
	}
	return c, nil
}

func matchPattern(want string) (func(string) bool, error) {
	return func(value string) bool { return like(want, value) }, nil
}

// matchARN compares ARNs part by part, of which there are six.
func matchARN(want string) (func(string) bool, error) {
	const parts = 6
	wanted := strings.SplitN(want, ":", parts)
	if len(wanted) != parts {
		return nil, errors.New("not an ARN")
	}
	return func(value string) bool {
		given := strings.SplitN(value, ":", parts)
		return len(given) == parts && !slices.ContainsFunc(wanted, func(w string) bool {
			g := given[0]
			given = given[1:]
			return !like(w, g)
		})
	}, nil
}

func matchBool(want string) (func(string) bool, error) {
	b, err := strconv.ParseBool(strings.ToLower(want))
	return func(value string) bool { return value == strconv.FormatBool(b) }, err
}

func matchAddress(want string) (func(string) bool, error) {
	if address, err := netip.ParseAddr(want); err == nil {
		want = netip.PrefixFrom(address, address.BitLen()).String()
	}
	prefix, err := netip.ParsePrefix(want)
	return func(value string) bool {
		address, err := netip.ParseAddr(value)
		return err == nil && prefix.Contains(address.Unmap().WithZone(""))
	}, err
}

func compareNumbers(holds func(int) bool) operator {
	return func(want string) (func(string) bool, error) {
		limit, err := strconv.ParseFloat(want, 64)
		return func(value string) bool {
			n, err := strconv.ParseFloat(value, 64)
			return err == nil && holds(compare(n, limit))
		}, err
	}
}

func compareDates(holds func(int) bool) operator {
	return func(want string) (func(string) bool, error) {
		limit, err := parseDate(want)
		return func(value string) bool {
			t, err := parseDate(value)
			return err == nil && holds(t.Compare(limit))
		}, err
	}
}

// parseDate reads a date as W3C profiles ISO 8601, or seconds since 1970.
func parseDate(text string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) != len("2006") {
		return time.Unix(seconds, 0), nil
	}
	var err error
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"} {
		var t time.Time
		if t, err = time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, err
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
