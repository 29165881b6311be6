package catalog

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var someKey = Key{Account: "000000000000", Region: "eu-central-1", Kind: "stream", Name: "clicks"}

var compareRecords = []cmp.Option{cmp.AllowUnexported(record{}, proposal{}, part{}), cmpopts.EquateEmpty()}

// someRecords are one of each kind, and their extremes.
func someRecords() []record {
	return []record{
		{proposal: &proposal{writer: 1<<64 - 1, number: 1<<64 - 1, expected: 1<<63 - 1, key: someKey, value: []byte(`{"shards":2}`)}},
		{proposal: &proposal{key: someKey, value: []byte{}}},
		{proposal: &proposal{writer: 7, number: 3, expected: 12, key: someKey, delete: true}},
		{part: &part{writer: 7, number: 4, through: 1<<63 - 1, index: 0, parts: 1}},
		{part: &part{writer: 7, number: 5, through: 300, index: 1, parts: 3, entries: []Entry{
			{Key: someKey, Revision: 1, Value: []byte("1")}, {Key: someKey, Revision: 1<<63 - 1, Value: []byte(`"two"`)},
		}}},
	}
}

func encode(r record) []byte {
	if r.proposal != nil {
		return appendProposal(nil, r.proposal)
	}
	return appendPart(nil, r.part)
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	for _, want := range someRecords() {
		b := encode(want)
		got, err := decode(b, true)
		if err != nil {
			t.Fatalf("decode %+v: %v", want, err)
		}
		if diff := cmp.Diff(want, got, compareRecords...); diff != "" {
			t.Errorf("record differs (-want +got):\n%s", diff)
		}
		for n := range b {
			if r, err := decode(b[:n], true); err == nil {
				t.Errorf("the first %d of %d bytes are %+v", n, len(b), r)
			}
		}
		if r, err := decode(append(b, 0), true); !errors.Is(err, errDamaged) {
			t.Errorf("a byte too many: %+v, %v", r, err)
		}
		for i := range b[2:] { // nothing points into the bytes that were decoded
			b[2+i] = 0xFF
		}
		if diff := cmp.Diff(want, got, compareRecords...); diff != "" {
			t.Errorf("record shares its bytes (-want +got):\n%s", diff)
		}
	}
}

// The bytes are those of FORMAT.md, so that a later Sluice reads what this one wrote.
func TestRecordsHaveTheBytesThatTheFormatSays(t *testing.T) {
	k := Key{Account: "1", Region: "r", Kind: "k", Name: "n"}
	for _, c := range []struct {
		record record
		want   string
	}{
		{record{proposal: &proposal{writer: 0x0102030405060708, number: 300, expected: 5, key: k, value: []byte("{}")}},
			"\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08\xac\x02\x05\x011\x01r\x01k\x01n\x02{}"},
		{record{proposal: &proposal{writer: 1, number: 2, expected: 5, key: k, delete: true}},
			"\x01\x02\x00\x00\x00\x00\x00\x00\x00\x01\x02\x05\x011\x01r\x01k\x01n"},
		{record{part: &part{writer: 1, number: 2, through: 128, index: 0, parts: 2, entries: []Entry{{Key: k, Revision: 9, Value: []byte("7")}}}},
			"\x01\x03\x00\x00\x00\x00\x00\x00\x00\x01\x02\x80\x01\x00\x02\x01\x011\x01r\x01k\x01n\x09\x017"},
	} {
		if got := encode(c.record); string(got) != c.want {
			t.Errorf("%+v is %q, want %q", c.record, got, c.want)
		}
	}
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	for name, r := range map[string]record{
		"key":              {proposal: &proposal{key: Key{Account: "a/b", Region: "r", Kind: "k", Name: "n"}}},
		"name":             {proposal: &proposal{key: Key{Account: "a", Region: "r", Kind: "k", Name: "\xff"}}},
		"value too large":  {proposal: &proposal{key: someKey, value: make([]byte, MaxValueBytes+1)}},
		"delete of none":   {proposal: &proposal{key: someKey, delete: true}},
		"part of none":     {part: &part{}},
		"part beyond":      {part: &part{index: 2, parts: 2}},
		"entry of no rev.": {part: &part{parts: 1, entries: []Entry{{Key: someKey}}}},
		"negative":         {proposal: &proposal{expected: -1, key: someKey}},
	} {
		if _, err := decode(encode(r), true); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range [][]byte{{0, 1}, {2, 1}, {1, 0}, {1, 4}} {
		if _, err := decode(b, true); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "another version") {
			t.Errorf("%v: %v", b, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range someRecords() {
		f.Add(encode(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		r, err := decode(b, true)
		if !bytes.Equal(b, kept) {
			t.Fatal("decode wrote to its input")
		}
		if err != nil {
			if !errors.Is(err, errDamaged) && !errors.Is(err, ErrFormat) {
				t.Fatalf("error of no known kind: %v", err)
			}
			return
		}
		again, err := decode(encode(r), true)
		if err != nil {
			t.Fatalf("what was decoded cannot be decoded again: %v", err)
		}
		if diff := cmp.Diff(r, again, compareRecords...); diff != "" {
			t.Fatalf("decoded again, it differs:\n%s", diff)
		}
		if light, err := decode(b, false); err != nil || light.part != nil && light.part.entries != nil {
			t.Fatalf("without entries: %+v, %v", light, err)
		}
	})
}
