package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type innerShape struct {
	Name  string
	Count *int32
}

type nestedShape struct{ Inners []innerShape }

type testShape struct {
	Text    string
	Maybe   *string
	Flag    bool
	Number  int32
	Long    int64
	Data    []byte
	When    Timestamp
	Names   []string
	Inners  []innerShape
	Inner   *innerShape
	Tags    map[string]string
	Nested  []nestedShape
	Unasked Unknown
}

func TestShapesAreReadAndWrittenByTheirMembers(t *testing.T) {
	when := time.UnixMilli(1459799926480).UTC()
	want := testShape{
		Text: "a", Maybe: new(""), Flag: true, Number: -3, Long: 1 << 40, Data: []byte{}, When: Timestamp{when},
		Names: []string{"x", ""}, Inners: []innerShape{{Name: "n", Count: new(int32(0))}, {}}, Inner: &innerShape{Name: "i"},
		Tags: map[string]string{"k": "v", "": "e"},
	}
	text := string(AppendJSON(nil, &want))
	wantText := `{"Text":"a","Maybe":"","Flag":true,"Number":-3,"Long":1099511627776,"Data":"","When":1459799926.480,` +
		`"Names":["x",""],"Inners":[{"Name":"n","Count":0},{}],"Inner":{"Name":"i"},"Tags":{"":"e","k":"v"}}`
	if text != wantText {
		t.Errorf("written as %s\nwant %s", text, wantText)
	}
	var got testShape
	if err := DecodeJSON([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestTheLastOfTwoMembersCountsAndNullIsAbsence(t *testing.T) {
	var got testShape
	document := `{"Text":"a","Text":null,"Maybe":"x","Maybe":"y","Inner":{"Name":"a","Count":1},"Inner":{"Count":2},` +
		`"Names":["a"],"Names":["b","c"],"Tags":{"a":"1"},"Tags":{"b":"2"},"Data":"YQ==","Data":null,"text":"no","unknown":[1,{"a":null}],"Gone":null}`
	if err := DecodeJSON([]byte(document), &got); err != nil {
		t.Fatal(err)
	}
	want := testShape{
		Maybe: new("y"), Inner: &innerShape{Count: new(int32(2))}, Names: []string{"b", "c"},
		Tags: map[string]string{"b": "2"}, Unasked: Unknown{"text", "unknown"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSmallBodiesDoNotBecomeLargeInMemory(t *testing.T) {
	for _, document := range []string{
		`{"Inners":[` + strings.Repeat("{},", 100_000) + `{}]}`,
		`{"Names":[` + strings.Repeat(`"",`, 100_000) + `""]}`,
		`{"Nested":[` + strings.Repeat(`{"Inners":[`+strings.Repeat("{},", 99)+`{}]},`, 1_000) + `{}]}`,
		`{` + strings.Repeat(`"a":1,`, 100_000) + `"a":1}`,
	} {
		var syntax *SyntaxError
		if err := DecodeJSON([]byte(document), &testShape{}); !errors.As(err, &syntax) || !strings.Contains(syntax.Reason, "too many") {
			t.Errorf("100,001 elements: %v", err)
		}
	}
}

// FuzzShapesAreReadAsEncodingJSONReadsThem takes encoding/json's view of the document as a tree, in which the
// last of two members counts too, and compares member by member.
func FuzzShapesAreReadAsEncodingJSONReadsThem(f *testing.F) {
	for _, d := range documents {
		f.Add(d)
	}
	f.Add(`{"Text":"a","Maybe":null,"Flag":true,"Number":1.5,"Names":["a",null],"Inner":{"Name":"x"},"Tags":{"a":"b"}}`)
	f.Fuzz(func(t *testing.T, document string) {
		var got testShape
		err := DecodeJSON([]byte(document), &got)
		if err != nil {
			return
		}
		var tree map[string]any
		if jsonErr := json.Unmarshal([]byte(document), &tree); jsonErr != nil {
			t.Fatalf("%q was accepted, encoding/json: %v", document, jsonErr)
		}
		if text, _ := tree["Text"].(string); got.Text != text {
			t.Errorf("Text %q, want %q", got.Text, text)
		}
		if maybe, ok := tree["Maybe"].(string); (got.Maybe != nil) != ok || ok && *got.Maybe != maybe {
			t.Errorf("Maybe %v, want %q, %v", got.Maybe, maybe, ok)
		}
		if flag, _ := tree["Flag"].(bool); got.Flag != flag {
			t.Errorf("Flag %v, want %v", got.Flag, flag)
		}
		names, _ := tree["Names"].([]any)
		if len(names) != len(got.Names) {
			t.Fatalf("Names %q, want %q", got.Names, names)
		}
		for i := range names {
			if name, _ := names[i].(string); name != got.Names[i] {
				t.Errorf("name %q, want %q", got.Names[i], name)
			}
		}
		inner, ok := tree["Inner"].(map[string]any)
		if (got.Inner != nil) != ok {
			t.Fatalf("Inner %v, want %v", got.Inner, inner)
		}
		if name, _ := inner["Name"].(string); ok && got.Inner.Name != name {
			t.Errorf("Inner.Name %q, want %q", got.Inner.Name, name)
		}
		tags, _ := tree["Tags"].(map[string]any)
		if len(tags) != len(got.Tags) {
			t.Errorf("Tags %v, want %v", got.Tags, tags)
		}
	})
}

func TestValidationTellsTenProblemsAtMost(t *testing.T) {
	var v Validation
	if v.Fault() != nil {
		t.Error("nothing was wrong")
	}
	for range 20 {
		v.Missing("a")
	}
	if text := v.Fault().Error(); !strings.HasPrefix(text, "ValidationException: 10 validation errors detected: Value null at 'a'") ||
		strings.Count(text, ";") != 9 {
		t.Error(text)
	}
}

func TestAnAnswerDoesNotRepeatAHugeQuestion(t *testing.T) {
	var v Validation
	v.String(strings.Repeat("x", 1<<20), "a", &StringRule{Max: 1})
	if n := len(v.Fault().Error()); n > 2000 {
		t.Errorf("an error of %d bytes", n)
	}
}
