package wire

import (
	"strings"
	"testing"
)

type (
	ruledInput struct {
		Name    *string
		ARN     *string
		Count   *int32
		Kind    *string
		Tags    map[string]string
		Keys    []string
		Kinds   []string
		Data    []byte
		At      Timestamp
		Details *ruledDetails
		Entries []ruledDetails
		On      *bool
	}
	ruledDetails struct{ Mode *string }
)

var (
	nameRule    = &Rule{Min: 1, Max: 5, Pattern: `[a-z]+|\d`}
	kindRule    = &Rule{Enum: []string{"A", "B"}}
	detailsRule = &Rule{Members: []Member{{Name: "Mode", Required: true, Rule: kindRule}}}
	ruledRules  = []Member{
		{Name: "Count", Rule: &Rule{Min: 1, Max: 10}},
		{Name: "Kind", Rule: kindRule},
		{Name: "Tags", Rule: &Rule{Min: 1, Max: 2, Key: &Rule{Min: 1, Max: 3}, Element: &Rule{Max: 3}}},
		{Name: "Keys", Rule: &Rule{Min: 1, Max: 2, Element: &Rule{Min: 1, Max: 3}}},
		{Name: "Kinds", Rule: &Rule{Element: kindRule}},
		{Name: "Data", Rule: &Rule{Max: 3}},
		{Name: "At", Required: true},
		{Name: "Details", Rule: detailsRule},
		{Name: "Entries", Rule: &Rule{Min: 1, Max: 2, Element: detailsRule}},
		{Name: "On"},
		{Name: "ARN"},
		{Name: "Name", Required: true, Or: "ARN", Rule: nameRule},
	}
	checkRuled = Rules[ruledInput](ruledRules)
)

func TestWhatBreaksARuleIsToldAsAWSTellsIt(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"At":1,"Name":"a"}`, ""},
		{`{"At":1,"ARN":"x"}`, ""},
		{`{"At":1,"ARN":"x","Name":"5"}`, ""},
		{`{}`, "Value null at 'at' failed to satisfy constraint: Member must not be null; " +
			"Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{`{"At":1,"Name":""}`, `Value '' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+|\d; ` +
			"Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{`{"At":1,"Name":"a5"}`, `Value 'a5' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+|\d`},
		{`{"At":1,"Name":"abcdef"}`, "Value 'abcdef' at 'name' failed to satisfy constraint: Member must have length less than or equal to 5"},
		{`{"At":1,"Name":"a","Count":0}`, "Value '0' at 'count' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{`{"At":1,"Name":"a","Count":11}`, "Value '11' at 'count' failed to satisfy constraint: Member must have value less than or equal to 10"},
		{`{"At":1,"Name":"a","Kind":"C"}`, "Value 'C' at 'kind' failed to satisfy constraint: Member must satisfy enum value set: [A, B]"},
		{`{"At":1,"Name":"a","Tags":{}}`, "Value '{}' at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{`{"At":1,"Name":"a","Tags":{"":"abcd","b":"c"}}`, "Value '{=abcd, b=c}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: " +
			"[Member must have length less than or equal to 3, Member must have length greater than or equal to 1]; " +
			"Value '{=abcd, b=c}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: " +
			"[Member must have length less than or equal to 3, Member must have length greater than or equal to 0]"},
		{`{"At":1,"Name":"a","Tags":{"a":"","b":"","c":""}}`, "Value '{a=, b=, c=}' at 'tags' failed to satisfy constraint: Member must have length less than or equal to 2"},
		{`{"At":1,"Name":"a","Keys":["a","abcd"]}`, "Value '[a, abcd]' at 'keys' failed to satisfy constraint: Member must satisfy constraint: " +
			"[Member must have length less than or equal to 3, Member must have length greater than or equal to 1]"},
		{`{"At":1,"Name":"a","Kinds":["A","x"]}`, "Value '[A, x]' at 'kinds' failed to satisfy constraint: Member must satisfy constraint: " +
			"[Member must satisfy enum value set: [A, B]]"},
		{`{"At":1,"Name":"a","Data":"AAAAAA=="}`, "Value 'java.nio.HeapByteBuffer[pos=0 lim=4 cap=4]' at 'data' failed to satisfy constraint: " +
			"Member must have length less than or equal to 3"},
		{`{"At":1,"Name":"a","Details":{}}`, "Value null at 'details.mode' failed to satisfy constraint: Member must not be null"},
		{`{"At":1,"Name":"a","Entries":[]}`, "Value '[]' at 'entries' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{`{"At":1,"Name":"a","Entries":[{"Mode":"A"},{}]}`, "Value null at 'entries.2.member.mode' failed to satisfy constraint: Member must not be null"},
		{`{"At":1,"Name":"a","Entries":[{"Mode":"A"},{"Mode":"A"},{"Mode":"A"}]}`,
			"Value '[more than 2 members]' at 'entries' failed to satisfy constraint: Member must have length less than or equal to 2"},
	} {
		var in ruledInput
		if err := DecodeJSON([]byte(c.body), &in); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := checkRuled(&in); err != nil {
			_, got, _ = strings.Cut(err.Error(), " detected: ")
		}
		if got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.body, got, c.want)
		}
	}
}

func TestAnAnswerTellsOfTenProblemsAndIsNeverMuchLargerThanTen(t *testing.T) {
	in := ruledInput{Entries: make([]ruledDetails, 2000), Tags: map[string]string{}}
	long := strings.Repeat("x", 100_000)
	in.Tags[long] = long
	in.Keys = []string{long, long}
	in.Name = &long
	err := checkRuled(&in)
	if err == nil || !strings.Contains(err.Error(), "10 validation errors detected: ") || len(err.Error()) > 16<<10 {
		t.Errorf("%d bytes: %.200v", len(err.Error()), err)
	}
}

func TestAShapeAndItsRulesHaveTheSameMembers(t *testing.T) {
	for name, rules := range map[string][]Member{
		"a rule without a field": append([]Member{{Name: "Other"}}, ruledRules...),
		"a field without a rule": ruledRules[1:],
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("put together")
				}
			}()
			Rules[ruledInput](rules)
		})
	}
}
