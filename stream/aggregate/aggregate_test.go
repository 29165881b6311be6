package aggregate

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// wrap makes an aggregated record of a protocol buffer.
func wrap(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte(magic), message...), sum[:]...)
}

// shown are records as text: partition key, explicit hash key, data.
func shown(t *testing.T, data []byte, in HashRange) []string {
	t.Helper()
	var r Reader
	if !r.Read(data) {
		t.Fatalf("%x is not taken for an aggregated record", data)
	}
	var out []string
	for u := range r.Within(in) {
		out = append(out, fmt.Sprintf("%d %s/%s %q", u.SubSequence, u.PartitionKey, u.ExplicitHashKey, u.Data))
	}
	return out
}

func vectors(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		if found[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func TestRecordsOfTheProducersOfAWSAreTakenApart(t *testing.T) {
	long := strings.Repeat("x", 200)
	want := map[string][]string{
		"one":        {`0 key/ "data"`},
		"shared-key": {`0 a/ "first"`, `1 a/ "second"`, `2 b/ ""`},
		"explicit": {
			`0 a/0 "\x00\xff"`, `1 b/340282366920938463463374607431768211455 "Zürich"`, `2 a/ "` + long + `"`,
		},
	}
	got := map[string][]string{}
	for name, data := range vectors(t) {
		got[name] = shown(t, data, FullRange)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOurAggregatedRecordsAreThoseOfTheProducersOfAWS(t *testing.T) {
	for name, want := range vectors(t) {
		var r Reader
		if !r.Read(want) {
			t.Fatal(name)
		}
		var records []Record
		for u := range r.Records() {
			records = append(records, u)
		}
		got, err := Append(nil, records)
		if err != nil {
			t.Fatal(name, err)
		}
		// Tables and records may stand in another order, which is told by what is read.
		if diff := cmp.Diff(shown(t, want, FullRange), shown(t, got, FullRange)); diff != "" {
			t.Error(name, diff)
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d bytes, theirs %d", name, len(got), len(want))
		}
	}
}

func TestWhatIsNotWhollyAggregatedIsPassedOn(t *testing.T) {
	whole, err := Append(nil, []Record{{PartitionKey: []byte("k"), ExplicitHashKey: []byte("7"), Data: []byte("data")}})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string][]byte{
		"empty":                       {},
		"magic alone":                 []byte(magic),
		"no user record":              wrap(nil),
		"a table alone":               wrap([]byte("\x0a\x01k")),
		"cut":                         whole[:len(whole)-1],
		"something behind":            append(whole[:len(whole):len(whole)], 0),
		"another magic":               append([]byte{0xf3, 0x89, 0x9a, 0xc3}, whole[4:]...),
		"not a protocol buffer":       wrap([]byte("what is this")),
		"a key that is not there":     wrap([]byte("\x0a\x01k\x1a\x04\x08\x01\x1a\x00")),
		"the largest key":             wrap([]byte("\x0a\x01k\x1a\x0d\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x00")),
		"a hash key that is not":      wrap([]byte("\x0a\x01k\x1a\x06\x08\x00\x10\x00\x1a\x00")),
		"a hash key that is no key":   wrap([]byte("\x0a\x01k\x12\x01x\x1a\x04\x08\x00\x1a\x00")),
		"a hash key beyond the ring":  wrap([]byte("\x0a\x01k\x12\x27" + "340282366920938463463374607431768211456" + "\x1a\x04\x08\x00\x1a\x00")),
		"no data":                     wrap([]byte("\x0a\x01k\x1a\x02\x08\x00")),
		"no key":                      wrap([]byte("\x0a\x01k\x1a\x02\x1a\x00")),
		"a tag without a key":         wrap([]byte("\x0a\x01k\x1a\x06\x08\x00\x1a\x00\x22\x00")),
		"a length beyond the message": wrap([]byte("\x0a\x01k\x1a\x7f\x08\x00\x1a\x00")),
	}
	for i := range whole {
		damaged := append([]byte(nil), whole...)
		damaged[i] ^= 1
		cases[fmt.Sprint("damaged at ", i)] = damaged
	}
	for name, data := range cases {
		var r Reader
		if r.Read(data) {
			t.Errorf("%s is taken for an aggregated record", name)
		}
		if r.Len() != 0 {
			t.Errorf("%s: %d records", name, r.Len())
		}
		for range r.Records() {
			t.Errorf("%s has a record", name)
		}
	}
}

func TestUserRecordsOutsideOfTheShardAreLeftOut(t *testing.T) {
	number := func(text string) HashKey {
		k, ok := ParseHashKey(text)
		if !ok {
			t.Fatal(text)
		}
		return k
	}
	// The MD5 of "a" begins with 0c, that of "b" with 92.
	data, err := Append(nil, []Record{
		{PartitionKey: []byte("a"), Data: []byte("1")},
		{PartitionKey: []byte("b"), Data: []byte("2")},
		{PartitionKey: []byte("b"), ExplicitHashKey: []byte("170141183460469231731687303715884105727"), Data: []byte("3")},
		{PartitionKey: []byte("a"), ExplicitHashKey: []byte("170141183460469231731687303715884105728"), Data: []byte("4")},
	})
	if err != nil {
		t.Fatal(err)
	}
	lower := HashRange{End: number("170141183460469231731687303715884105727")}
	upper := HashRange{Start: number("170141183460469231731687303715884105728"), End: FullRange.End}
	if diff := cmp.Diff([]string{`0 a/ "1"`, `2 b/170141183460469231731687303715884105727 "3"`}, shown(t, data, lower)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{`1 b/ "2"`, `3 a/170141183460469231731687303715884105728 "4"`}, shown(t, data, upper)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsAggregatedIsReadAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record := rapid.Custom(func(t *rapid.T) Record {
			r := Record{
				PartitionKey: []byte(rapid.StringN(1, 3, -1).Draw(t, "key")),
				Data:         rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"),
			}
			if rapid.Bool().Draw(t, "explicit") {
				r.ExplicitHashKey = fmt.Append(nil, rapid.Uint64Range(0, 3).Draw(t, "hash"))
			}
			return r
		})
		records := rapid.SliceOfN(record, 1, 20).Draw(t, "records")
		data, err := Append(nil, records)
		if err != nil {
			t.Fatal(err)
		}
		var r Reader
		if !r.Read(data) || r.Len() != len(records) {
			t.Fatalf("%d records", r.Len())
		}
		for u := range r.Records() {
			want := records[u.SubSequence]
			want.SubSequence = u.SubSequence
			if diff := cmp.Diff(want, u); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestRecordsThatCannotBeAggregatedAreRefused(t *testing.T) {
	for _, records := range [][]Record{
		nil,
		{{Data: []byte("no key")}},
		{{PartitionKey: []byte("k"), ExplicitHashKey: []byte("-1")}},
	} {
		if _, err := Append(nil, records); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%v: %v", records, err)
		}
	}
}

// Reading costs no memory for each user record, so that a small record cannot become a large one.
func TestReadingTakesNoMemoryOnceItsTablesAreLargeEnough(t *testing.T) {
	records := make([]Record, 10_000)
	for i := range records {
		records[i] = Record{PartitionKey: []byte("one key for all of them"), Data: []byte("x")}
	}
	data, err := Append(nil, records)
	if err != nil {
		t.Fatal(err)
	}
	var r Reader
	allocs := testing.AllocsPerRun(5, func() {
		n := 0
		if r.Read(data) {
			for range r.Within(HashRange{End: HashKey{0xff}}) {
				n++
			}
		}
		if n != len(records) {
			t.Errorf("%d records", n)
		}
	})
	if allocs > 4 { // closures
		t.Errorf("%v allocations", allocs)
	}
}
