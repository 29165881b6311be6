package wire

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// documents are worth a test each, and seeds for fuzzing.
var documents = []string{
	`{}`, `[]`, `""`, `0`, `-0`, `-1.5e+10`, `1E400`, `true`, `false`, `null`, ` { "a" : [ 1 , { } ] } `,
	`{"a":1,"a":2}`, `{"a":{"b":[[[[]]]]}}`, `"\u00e9\ud83d\ude00\ud800\n\"\\\/"`, `"é😀"`,
	``, ` `, `{`, `}`, `{]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `[1,]`, `[,1]`, `[1 2]`, `[}`, `01`, `1.`, `.1`, `-`,
	`1e`, `1e+`, `+1`, `0x1`, `nul`, `nulll`, `tru`, `"`, `"\`, `"\u12"`, `"\x"`, `"\ud83d\u12"`, "\"\n\"", "\"\x00\"", "\"\xff\"",
	`{} {}`, `{}x`, `NaN`, `'a'`, "\ufeff{}", `{"a":"b" "c":"d"}`, `"aGVsbG8="`, "[" + strings.Repeat("[", 600) + strings.Repeat("]", 600) + "]",
}

// depth is how deep a document nests, roughly: strings count, too.
func depth(document string) int {
	return max(strings.Count(document, "["), strings.Count(document, "{"))
}

func checkAcceptance(t *testing.T, document string) {
	r := NewReader([]byte(document))
	r.Skip()
	got := r.End()
	want := json.Valid([]byte(document)) && utf8.ValidString(document)
	if want && got != nil && depth(document) > maxDepth {
		return // refused for its depth, which encoding/json allows
	}
	if (got == nil) != want {
		t.Errorf("%q: error %v, encoding/json says valid=%v", document, got, want)
	}
	var syntax *SyntaxError
	if got != nil && !errors.As(got, &syntax) {
		t.Errorf("%q: error %v is no *SyntaxError", document, got)
	}
}

func TestTheReaderAcceptsWhatEncodingJSONAccepts(t *testing.T) {
	for _, d := range documents {
		checkAcceptance(t, d)
	}
}

func FuzzReaderAcceptsWhatEncodingJSONAccepts(f *testing.F) {
	for _, d := range documents {
		f.Add(d)
	}
	f.Fuzz(checkAcceptance)
}

func TestDeepNestingIsRefusedNotFollowed(t *testing.T) {
	for _, open := range []string{"[", `{"a":`} {
		r := NewReader([]byte(strings.Repeat(open, 1_000_000)))
		r.Skip()
		var syntax *SyntaxError
		if !errors.As(r.Err(), &syntax) || !strings.Contains(syntax.Reason, "deep") {
			t.Errorf("a million times %q: %v", open, r.Err())
		}
	}
}

func checkString(t *testing.T, document string) {
	r := NewReader([]byte(document))
	got, ok := r.String()
	err := r.End()
	var want *string
	wantErr := json.Unmarshal([]byte(document), &want)
	if !utf8.ValidString(document) {
		if err == nil {
			t.Errorf("%q: invalid UTF-8 was read as %q", document, got)
		}
		return
	}
	if (err == nil) != (wantErr == nil) && depth(document) <= maxDepth {
		t.Fatalf("%q: error %v, encoding/json: %v", document, err, wantErr)
	}
	if err != nil {
		return
	}
	if ok != (want != nil) || ok && string(got) != *want {
		t.Errorf("%q: read as %q, %v, want %v", document, got, ok, want)
	}
}

func TestStringsAreReadAsEncodingJSONReadsThem(t *testing.T) {
	for _, d := range documents {
		checkString(t, d)
	}
}

func FuzzStringsAreReadAsEncodingJSONReadsThem(f *testing.F) {
	for _, d := range documents {
		f.Add(d)
	}
	f.Fuzz(checkString)
}

func TestStringsSurviveTheWayThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		text := AppendString(nil, s)
		var got string
		if err := json.Unmarshal(text, &got); err != nil || got != s {
			t.Fatalf("%q became %s, read as %q, %v", s, text, got, err)
		}
		raw, _ := NewReader(AppendString(nil, []byte(s))).String()
		if string(raw) != s {
			t.Fatalf("%q was read as %q", s, raw)
		}
	})
	if got, want := string(AppendString(nil, "a\xffb\u2028<&>\x01")), "\"a\ufffdb\u2028<&>\\u0001\""; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// checkBlob compares with strict base64 without line breaks.
func checkBlob(t *testing.T, text string) {
	quoted := AppendString(nil, text)
	if !utf8.ValidString(text) {
		return
	}
	want, wantErr := base64.StdEncoding.Strict().DecodeString(text)
	valid := wantErr == nil && !strings.ContainsAny(text, "\r\n")
	for _, document := range []string{string(quoted), `"` + text + `"`} {
		if document != string(quoted) && strings.Contains(text, `\`) {
			continue // it stands for something else
		}
		r := NewReader([]byte(document))
		got, ok := r.Blob()
		err := r.End()
		if !json.Valid([]byte(document)) {
			if err == nil {
				t.Errorf("%q was accepted", document)
			}
			continue
		}
		if (err == nil) != valid {
			t.Errorf("%q: error %v, want validity %v", document, err, valid)
		}
		if err == nil && (!ok || got == nil || string(got) != string(want)) {
			t.Errorf("%q: %x, want %x", document, got, want)
		}
		var badType *TypeError
		if err != nil && document == string(quoted) && !errors.As(err, &badType) {
			t.Errorf("%q: error %v is no *TypeError", document, err)
		}
	}
}

func TestBlobsOfAnyLengthSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blob := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "blob")
		got, ok := NewReader(AppendBlob(nil, blob)).Blob()
		if !ok || string(got) != string(blob) {
			t.Fatalf("%x became %x", blob, got)
		}
		// The same with every slash escaped, as PHP writes it.
		escaped := strings.ReplaceAll(string(AppendBlob(nil, blob)), "/", `\/`)
		if got, ok := NewReader([]byte(escaped)).Blob(); !ok || string(got) != string(blob) {
			t.Fatalf("%s became %x", escaped, got)
		}
	})
}

func FuzzBlobsAreStrictBase64(f *testing.F) {
	long := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("long enough for wide registers ", 20)))
	for _, s := range []string{"", "aGVsbG8=", "aGVsbG8", "a", "====", "+/+=", "aGVs\nbG8=", long, long[:200] + "*" + long[201:],
		long[:204] + "\n\n\n\n" + long[204:], long[:len(long)-1] + "é", `\u0061GVs`} {
		f.Add(s)
	}
	f.Fuzz(checkBlob)
}

func TestWhatIsNotBase64IsShownAsItWas(t *testing.T) {
	long := strings.Repeat("abcd", 100)
	for text, want := range map[string]string{
		"23456":            "'23456' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5",
		"=+/=":             "'=+/=' can not be converted to a Blob: Invalid Base64 character: '='",
		"+/+=":             "'+/+=' can not be converted to a Blob: Invalid last non-pad Base64 character dectected",
		"ab=d":             "'ab=d' can not be converted to a Blob: Invalid Base64 character: '='",
		long + "a*cd":      "'" + long[:128] + "…' can not be converted to a Blob: Invalid Base64 character: '*'",
		long + "abc":       "'" + long[:128] + "…' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 403",
		long + "+/+=":      "'" + long[:128] + "…' can not be converted to a Blob: Invalid last non-pad Base64 character dectected",
		"*" + long + "abc": "'*" + long[:127] + "…' can not be converted to a Blob: Invalid Base64 character: '*'",
	} {
		r := NewReader([]byte(`"` + text + `"`))
		_, _ = r.Blob()
		if r.Err() == nil || r.Err().Error() != want {
			t.Errorf("%s: %v\nwant %s", text, r.Err(), want)
		}
	}
}

func TestNumbersOfAnySizeAreTakenOrCut(t *testing.T) {
	for text, want := range map[string]int32{
		"1": 1, "-1": -1, "1.9": 1, "-1.9": -1, "100000000000": 1<<31 - 1, "-1e300": -1 << 31, "1e999999999": 1<<31 - 1,
		"0." + strings.Repeat("9", 100_000): 1, strings.Repeat("9", 100_000): 1<<31 - 1, "1e-999999999": 0,
	} {
		if strings.HasPrefix(text, "0.9") {
			want = 1 // rounds up to one
		}
		if got, ok := NewReader([]byte(text)).Int(); !ok || got != want {
			t.Errorf("%.20s: %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]int64{"9007199254740993": 9007199254740992, "1e30": 1<<63 - 1, "-1e30": -1 << 63} {
		if got, ok := NewReader([]byte(text)).Int64(); !ok || got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestTimesAreSecondsUnlessTheyMustBeMilliseconds(t *testing.T) {
	for text, want := range map[string]string{
		"1459799926.480": "2016-04-04T19:58:46.48Z", "1459799926480": "2016-04-04T19:58:46.48Z",
		"1.45979992648E9": "2016-04-04T19:58:46.48Z", "0": "1970-01-01T00:00:00Z",
	} {
		got, ok := NewReader([]byte(text)).Timestamp()
		if !ok || got.Format("2006-01-02T15:04:05.999Z07:00") != want {
			t.Errorf("%s is %v, want %s", text, got, want)
		}
		if back, _ := NewReader(AppendTimestamp(nil, got)).Timestamp(); !back.Equal(got.Time) {
			t.Errorf("%v came back as %v", got, back)
		}
	}
}

// Every wrong type gets AWS's words, which the tests of other implementations have recorded.
func TestWrongTypesAreToldInTheWordsOfAWS(t *testing.T) {
	type inner struct{ A string }
	type shape struct {
		String  *string
		Integer *int32
		Long    *int64
		Boolean *bool
		Blob    []byte
		Time    Timestamp
		List    []string
		Map     map[string]string
		Struct  *inner
	}
	number := "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to "
	boolean := "class java.lang.Boolean can not be converted to "
	text := "class java.lang.String can not be converted to "
	list, structure := "Start of list found where not expected", "Start of structure or map found where not expected."
	got := map[string]string{}
	want := map[string]string{
		`{"String":true}`: boolean + "an String", `{"String":2}`: number + "an String", `{"String":[]}`: list, `{"String":{}}`: structure,
		`{"Integer":"2"}`: text + "an Integer", `{"Integer":true}`: boolean + "an Integer", `{"Integer":[]}`: list, `{"Integer":{}}`: structure,
		`{"Long":"2"}`: text + "an Long", `{"Long":false}`: boolean + "an Long",
		`{"Boolean":2}`: number + "an Boolean", `{"Boolean":"x"}`: "'X' can not be converted to an Boolean", `{"Boolean":[]}`: list,
		`{"Blob":true}`: boolean + "a Blob", `{"Blob":2}`: number + "a Blob", `{"Blob":[]}`: list, `{"Blob":{}}`: structure,
		`{"Time":"x"}`: text + "a Timestamp",
		`{"List":"x"}`: "Expected list or null", `{"List":2}`: "Expected list or null", `{"List":{}}`: structure,
		`{"Map":"x"}`: "Expected map or null", `{"Map":2}`: "Expected map or null", `{"Map":[]}`: list,
		`{"Struct":"x"}`: "Expected null", `{"Struct":2}`: "Expected null", `{"Struct":[]}`: list,
		`{"String":null,"Integer":null,"Blob":null,"Time":null,"List":null,"Map":null,"Struct":null}`: "",
	}
	for document := range want {
		err := DecodeJSON([]byte(document), &shape{})
		var badType *TypeError
		switch {
		case err == nil:
			got[document] = ""
		case errors.As(err, &badType):
			got[document] = err.Error()
		default:
			t.Errorf("%s: %v", document, err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
