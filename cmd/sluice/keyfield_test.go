package main

import (
	"strings"
	"testing"
)

func TestTheKeyIsTheFieldsValue(t *testing.T) {
	for _, c := range []struct{ path, record, want, err string }{
		{path: "id", record: `{"id":"a"}`, want: "a"},
		{path: "id", record: ` {"x":[1,{}],"id":"é\n\"" }`, want: "é\n\""},
		{path: "user.id", record: `{"user":{"id":12345678901234567890}}`, want: "12345678901234567890"},
		{path: ".user.id", record: `{"user":{"id":true}}`, want: "true"},
		{path: "id", record: `{"id":"` + strings.Repeat("é", 256) + `"}`, want: strings.Repeat("é", 256)},
		{path: "id", record: `{"id":"` + strings.Repeat("é", 257) + `"}`, err: "257 characters"},
		{path: "id", record: `{"id":""}`, err: "0 characters"},
		{path: "id", record: `{"other":1}`, err: "it has no id"},
		{path: "user.id", record: `{"user":7}`, err: "its user is no object"},
		{path: "id", record: `{"id":null}`, err: "no string or number"},
		{path: "id", record: `{"id":[1]}`, err: "no string or number"},
		{path: "user", record: `{"user":{"id":1}}`, err: "--key user.NAME takes"},
		{path: "id", record: `not JSON`, err: "no JSON object"},
		{path: "id", record: ``, err: "no JSON object"},
	} {
		t.Run(c.path+" "+c.record[:min(len(c.record), 30)], func(t *testing.T) {
			field, err := parseKeyField(c.path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := field.of([]byte(c.record))
			switch {
			case c.err == "" && err != nil:
				t.Error(err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%q, %v; want an error with %q", got, err, c.err)
			case got != c.want:
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	for _, bad := range []string{"", ".", "a..b", "a."} {
		if _, err := parseKeyField(bad); err == nil {
			t.Errorf("--key %q was accepted", bad)
		}
	}
}
