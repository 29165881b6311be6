package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// keyField finds the partition key in a JSON record: names of members, with dots between those that are inside
// one another.
type keyField []string

func parseKeyField(path string) (keyField, error) {
	field := strings.Split(strings.TrimPrefix(path, "."), ".")
	for _, name := range field {
		if name == "" {
			return nil, fmt.Errorf("--key %q is not a path like user.id", path)
		}
	}
	return field, nil
}

// of returns the field's value: a string's characters, or a number or true or false as written.
func (f keyField) of(record []byte) (string, error) {
	value := json.RawMessage(record)
	for i, name := range f {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(value, &object); err != nil {
			if i == 0 {
				return "", errors.New("it is no JSON object")
			}
			return "", fmt.Errorf("its %s is no object", strings.Join(f[:i], "."))
		}
		inner, ok := object[name]
		if !ok {
			return "", fmt.Errorf("it has no %s", strings.Join(f[:i+1], "."))
		}
		value = inner
	}
	key := string(value)
	switch value[0] {
	case '{':
		path := strings.Join(f, ".")
		return "", fmt.Errorf("its %s is an object, and a key is a string or number: --key %s.NAME takes the one called NAME in it", path, path)
	case '[', 'n':
		return "", fmt.Errorf("its %s is no string or number", strings.Join(f, "."))
	case '"':
		if err := json.Unmarshal(value, &key); err != nil {
			return "", err
		}
	}
	if n := utf8.RuneCountInString(key); n < 1 || n > 256 {
		return "", fmt.Errorf("its %s has %d characters; a partition key has 1 to 256", strings.Join(f, "."), n)
	}
	return key, nil
}
