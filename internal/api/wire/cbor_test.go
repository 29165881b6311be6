package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reference is the decoder that the one here is held against.
var reference = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxNestedLevels: 1000, MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32, DupMapKey: cbor.DupMapKeyQuiet,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// documentsCBOR are worth a test each, and seeds for fuzzing; in hexadecimal. Many are of RFC 8949, appendix A and
// appendix F.
var documentsCBOR = []string{
	"a0", "bfff", "80", "9fff", "40", "60", "f6", "f7", "f4", "f5", "00", "17", "1818", "1903e8", "1a000f4240", "1bffffffffffffffff",
	"20", "3863", "3bffffffffffffffff", "f90000", "f93c00", "f97bff", "f90001", "f9c400", "f97c00", "f97e00", "f9fc00", "fa47c35000", "fb3ff199999999999a",
	"fb7ff0000000000000", "fb7ff8000000000000", "f0", "f8ff", "f818", "f81f", "c11a514b67b0", "c1fb41d452d9ec200000", "c1c1c100", "d9d9f7a0",
	"a26161016162820203", "bf61610161629f0203ffff", "9f018202039f0405ffff", "5f42010243030405ff", "7f657374726561646d696e67ff", "7fff", "5fff",
	"62c3a9", "6261", "62c328", "7f61c361a9ff", "7f6161416161ff", "7f7f6161ffff", "5f6161ff", "5fc14161ff", "5f1cff", "ff", "81ff", "bf6161ff", "a16161ff", "a1616101ff", "9f", "bf", "5f", "7f",
	"", "a1", "a16161", "82", "8201", "1c", "1d", "1e", "1f", "3f", "df00", "fc", "fd", "fe", "18", "1900", "1a0000", "1b00000000000000", "58", "5801", "5b7fffffffffffffff",
	"9bffffffffffffffff", "bbffffffffffffffff", "bb7fffffffffffffff", "9b7fffffffffffffff00", "c0", "c1", "a10101", "a1f601", "a18001", "0000", "a000",
	"a26161016161f6", "a1616181a16162f6", strings.Repeat("81", 600) + "00", strings.Repeat("9f", 600) + "00" + strings.Repeat("ff", 600), strings.Repeat("c1", 600) + "00",
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	document, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func seedCBOR(f *testing.F) {
	for _, d := range documentsCBOR {
		f.Add(unhex(f, d))
	}
	f.Add(AppendCBOR(nil, &filled))
	f.Add(AppendCBOR(nil, &testShape{}))
}

// checkCBOR compares what is accepted. The reference does not look at UTF-8 when it checks for well-formedness.
func checkCBOR(t *testing.T, document []byte) {
	r := NewCBORReader(bytes.Clone(document))
	r.Skip()
	err := r.End()
	want := reference.Wellformed(document)
	if err == nil && want != nil {
		var deep *cbor.MaxNestedLevelError
		if !errors.As(want, &deep) { // tags count there
			t.Errorf("%x was accepted, reference: %v", document, want)
		}
		return
	}
	if err == nil {
		return
	}
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Format != "CBOR" {
		t.Fatalf("%x: error %v is no *SyntaxError", document, err)
	}
	allowed := strings.Contains(syntax.Reason, "deep") || strings.Contains(syntax.Reason, "UTF-8") && !utf8.Valid(document)
	if want == nil && !allowed {
		t.Errorf("%x: %v, reference accepts it", document, err)
	}
}

func TestTheReaderAcceptsCBORThatTheReferenceAccepts(t *testing.T) {
	for _, d := range documentsCBOR {
		checkCBOR(t, unhex(t, d))
	}
}

func FuzzReaderAcceptsCBORThatTheReferenceAccepts(f *testing.F) {
	seedCBOR(f)
	f.Fuzz(checkCBOR)
}

var filled = testShape{
	Text: "a", Maybe: new(""), Flag: true, Number: -3, Long: 1<<62 + 1, Data: []byte{0, 255}, When: Timestamp{time.UnixMilli(1459799926480).UTC()},
	Names: []string{"x", "", "é😀"}, Inners: []innerShape{{Name: "n", Count: new(int32(0))}, {}}, Inner: &innerShape{Name: "i"},
	Tags: map[string]string{"k": "v", "": "e"}, Nested: []nestedShape{{}, {Inners: []innerShape{{}}}},
}

func TestShapesAreReadAndWrittenInCBORAsInJSON(t *testing.T) {
	for _, shape := range []testShape{{}, {Names: []string{}, Data: []byte{}, Tags: map[string]string{}}, filled} {
		document := AppendCBOR(nil, &shape)
		var got testShape
		if err := DecodeCBOR(bytes.Clone(document), &got); err != nil {
			t.Fatalf("%x: %v", document, err)
		}
		if diff := cmp.Diff(shape, got); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
		var fromReference any
		if err := reference.Unmarshal(document, &fromReference); err != nil {
			t.Errorf("%x: reference: %v", document, err)
		}
		if string(AppendJSON(nil, &got)) != string(AppendJSON(nil, &shape)) {
			t.Errorf("JSON of what came through CBOR: %s", AppendJSON(nil, &got))
		}
	}
	want := "bf" + "6454657874" + "6161" + "ff"
	if got := hex.EncodeToString(AppendCBOR(nil, &struct{ Text string }{"a"})); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTimesInCBORAreMillisecondsWithTheirTag(t *testing.T) {
	const want = "2016-04-04T19:58:46.48Z"
	for text, what := range map[string]string{
		"c11b00000153e2db26d0": "milliseconds, as the SDKs for Java send them", "1b00000153e2db26d0": "without a tag",
		"c1fb41d5c0b1dd9eb852": "seconds as a floating-point number", "c1fb42753e2db26d0000": "milliseconds as one",
	} {
		got, ok := NewCBORReader(unhex(t, text)).Timestamp()
		if !ok || got.Format("2006-01-02T15:04:05.999Z07:00") != want {
			t.Errorf("%s: %v, want %s", what, got, want)
		}
	}
	seconds, _ := NewCBORReader(unhex(t, "c11a5702c776")).Timestamp()
	if got := seconds.Format(time.RFC3339); got != "2016-04-04T19:58:46Z" {
		t.Errorf("whole seconds: %s", got)
	}
	w := Writer{cbor: true}
	w.Timestamp(Timestamp{time.UnixMilli(1459799926480)})
	if got := hex.EncodeToString(w.Bytes()); got != "c11b00000153e2db26d0" {
		t.Errorf("written as %s", got)
	}
}

// FuzzShapesInCBORAreReadAsTheReferenceReadsThem takes the reference's view of the document as a tree, in which the
// last of two members counts too, and compares member by member.
func FuzzShapesInCBORAreReadAsTheReferenceReadsThem(f *testing.F) {
	seedCBOR(f)
	f.Fuzz(func(t *testing.T, document []byte) {
		var got testShape
		if err := DecodeCBOR(bytes.Clone(document), &got); err != nil {
			var syntax *SyntaxError
			var badType *TypeError
			if !errors.As(err, &syntax) && !errors.As(err, &badType) {
				t.Errorf("%x: %v", document, err)
			}
			return
		}
		if err := reference.Wellformed(document); err != nil {
			var deep *cbor.MaxNestedLevelError
			if !errors.As(err, &deep) {
				t.Fatalf("%x was accepted, reference: %v", document, err)
			}
			return
		}
		var tree map[string]any
		if reference.Unmarshal(document, &tree) != nil || interpreted(tree) {
			return // it has members, to be skipped, that Go's maps cannot hold, or tags that mean something to the reference
		}
		for name, value := range tree {
			tree[name] = untagged(value)
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
		if data, ok := tree["Data"].([]byte); (got.Data != nil) != ok || !bytes.Equal(data, got.Data) {
			t.Errorf("Data %x, want %x", got.Data, data)
		}
		if want := clamped(tree["Long"]); got.Long != want {
			t.Errorf("Long %d, want %d", got.Long, want)
		}
		names, _ := tree["Names"].([]any)
		if len(names) != len(got.Names) {
			t.Fatalf("Names %q, want %q", got.Names, names)
		}
		for i := range names {
			if name, _ := untagged(names[i]).(string); name != got.Names[i] {
				t.Errorf("name %q, want %q", got.Names[i], name)
			}
		}
		inner, ok := tree["Inner"].(map[any]any)
		if (got.Inner != nil) != ok {
			t.Fatalf("Inner %v, want %v", got.Inner, inner)
		}
		if name, _ := untagged(inner["Name"]).(string); ok && got.Inner.Name != name {
			t.Errorf("Inner.Name %q, want %q", got.Inner.Name, name)
		}
	})
}

// interpreted tells whether there are values that have become something else because of their tags.
func interpreted(v any) bool {
	switch v := v.(type) {
	case time.Time, big.Int:
		return true
	case cbor.Tag:
		return interpreted(v.Content)
	case []any:
		return slices.ContainsFunc(v, interpreted)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), interpreted)
	case map[any]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), interpreted)
	}
	return false
}

func untagged(v any) any {
	for {
		tag, ok := v.(cbor.Tag)
		if !ok {
			return v
		}
		v = tag.Content
	}
}

// clamped is what Int64 makes of a number.
func clamped(v any) int64 {
	switch v := v.(type) {
	case uint64:
		return int64(min(v, math.MaxInt64))
	case int64:
		return v
	case float64:
		switch {
		case v >= math.MaxInt64:
			return math.MaxInt64
		case v <= math.MinInt64:
			return math.MinInt64
		}
		return int64(v)
	}
	return 0
}

func TestStringsAndBlobsSurviveCBOR(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, blob := rapid.String().Draw(t, "s"), rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "blob")
		w := Writer{cbor: true}
		w.String(s)
		if got, ok := NewCBORReader(w.Bytes()).String(); !ok || string(got) != s {
			t.Fatalf("%q became %q", s, got)
		}
		w = Writer{cbor: true}
		w.Blob(blob)
		if got, ok := NewCBORReader(w.Bytes()).Blob(); !ok || got == nil || !bytes.Equal(got, blob) {
			t.Fatalf("%x became %x", blob, got)
		}
		// What is no UTF-8 must not become CBOR that nobody accepts.
		w = Writer{cbor: true}
		w.Text(blob)
		if got, ok := NewCBORReader(w.Bytes()).String(); !ok || string(got) != string([]rune(string(blob))) {
			t.Fatalf("%x became %q", blob, got)
		}
	})
}

func TestChunksAreMovedTogether(t *testing.T) {
	document := unhex(t, "bf"+"6444617461"+"5f"+"42"+"6162"+"40"+"5803"+"636465"+"ff"+"6454657874"+"7f"+"6161"+"62c3a9"+"ff"+"ff")
	var got testShape
	if err := DecodeCBOR(document, &got); err != nil || string(got.Data) != "abcde" || got.Text != "aé" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestHostileCBORIsRefusedAndCostsNothing(t *testing.T) {
	for what, document := range map[string]string{
		"a huge array": "a1" + "654e616d6573" + "9b7fffffffffffffff", "a huge map": "bb0fffffffffffffff", "a huge text": "7b7fffffffffffffff61",
		"too many names":      "bf" + "654e616d6573" + "9f" + strings.Repeat("60", 100_000) + "ffff",
		"too many structures": "bf" + "66496e6e657273" + "9a000186a0" + strings.Repeat("a0", 100_000) + "ff",
		"arrays without end":  strings.Repeat("9f", 100_000), "maps without end": strings.Repeat("bf6161", 100_000), "tags without end": strings.Repeat("c1", 100_000),
	} {
		body := unhex(t, document)
		var syntax *SyntaxError
		allocated := testing.AllocsPerRun(1, func() {
			if err := DecodeCBOR(body, &testShape{}); !errors.As(err, &syntax) {
				t.Errorf("%s: %v", what, err)
			}
		})
		if allocated > 10_000 {
			t.Errorf("%s: %v allocations", what, allocated)
		}
	}
}

func TestWrongTypesInCBORAreToldInTheWordsOfAWS(t *testing.T) {
	for document, want := range map[string]string{
		"a1" + "6454657874" + "01":     "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String",
		"a1" + "6454657874" + "4161":   "class java.nio.HeapByteBuffer can not be converted to an String",
		"a1" + "6444617461" + "6161":   "class java.lang.String can not be converted to a Blob",
		"a1" + "6444617461" + "f5":     "class java.lang.Boolean can not be converted to a Blob",
		"a1" + "64466c6167" + "6178":   "'X' can not be converted to an Boolean",
		"a1" + "654e616d6573" + "a0":   "Start of structure or map found where not expected.",
		"a1" + "65496e6e6572" + "80":   "Start of list found where not expected",
		"a1" + "645768656e" + "f97e00": "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to a Timestamp",
		"80":                           "Start of list found where not expected",
	} {
		var badType *TypeError
		if err := DecodeCBOR(unhex(t, document), &testShape{}); !errors.As(err, &badType) || err.Error() != want {
			t.Errorf("%s: %v, want %s", document, err, want)
		}
	}
}

func TestErrorsInCBORHaveTheirTypeAndMessage(t *testing.T) {
	var got map[string]string
	text := strings.Repeat("é", 40_000)
	if err := cbor.Unmarshal(CBOR{}.AppendFault(nil, &Fault{Code: "SerializationException", Message: text}), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"__type": "SerializationException", "message": text}, got); diff != "" {
		t.Error(diff)
	}
}
