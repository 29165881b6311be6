package e2e

import "testing"

func TestARecordInTheStreamOrTheObjectsAloneIsNoticed(t *testing.T) {
	stream := []readRecord{{data: "a"}, {data: "b"}}
	for name, c := range map[string]struct {
		lines map[string]int
		same  bool
	}{
		"the same":            {map[string]int{"a": 1, "b": 1}, true},
		"lost":                {map[string]int{"a": 1}, false},
		"invented":            {map[string]int{"a": 1, "b": 1, "c": 1}, false},
		"one for the other":   {map[string]int{"a": 1, "c": 1}, false},
		"one twice, one lost": {map[string]int{"a": 2}, false},
	} {
		if err := difference(stream, c.lines); (err == nil) != c.same {
			t.Errorf("%s: %v", name, err)
		}
	}
}
