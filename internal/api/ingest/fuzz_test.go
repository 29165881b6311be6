package ingest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

var documents = []string{
	`{}`, `[]`, `""`, `0`, `-0.5e+10`, `true`, `false`, `null`, ` { "a" : [ 1 , 2 ] } `, `{"a":{"b":"c"},"a":{"b":"d"}}`,
	`{"a\u0062":"\ud83d\ude00\ud800\n","":[[],{},[{}]]}`, `{"user":{"id":12,"name":"ü"}}`, `{"a":1,}`, `[1,]`, `[,1]`, `{,}`, `{"a"}`,
	`{"a":}`, `{a:1}`, `01`, `1.`, `-`, `1e`, `+1`, `.5`, `tru`, `nulll`, `"\x"`, `"\u12g4"`, `"`, `"\`, "\"\x00\"", "\"\x1f12345678\"",
	"\"12345678\x7f\xff\"", `[1 2]`, `{"a":1 "b":2}`, `]`, `}`, `{]`, `[}`, `"abcdefg"h`, `"abcdefghijklmno\"pqrstuv"`, "",
	strings.Repeat("[", 513), strings.Repeat("[", 512) + strings.Repeat("]", 512), strings.Repeat(`{"a":`, 512) + "1" + strings.Repeat("}", 512),
	"{\"a\":\n1}\n{\"b\":2}\r\n\r\n \t\n[1,\n 2]\n", "[\n {\"a\" : 1},\n \"b \\\" c\" , 3\n]\n", "\xef\xbb\xbf[1]",
}

// depth is how deep a document nests, strings left out.
func depth(document []byte) (deepest int) {
	now := 0
	for i := 0; i < len(document); i++ {
		switch document[i] {
		case '"':
			for i++; i < len(document) && document[i] != '"'; i++ {
				if document[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			now++
			deepest = max(deepest, now)
		case ']', '}':
			now--
		}
	}
	return deepest
}

// The scanner takes and refuses what encoding/json does, and compacts as it does.
func FuzzScan(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		before := bytes.Clone(document)
		end, loose, flaw := scan(document, 0, nil)
		if !bytes.Equal(document, before) {
			t.Fatal("the scanner changed what it scanned")
		}
		good := flaw == "" && space(document, end) == len(document)
		if want := json.Valid(document) && depth(document) <= maxDepth; good != want {
			t.Fatalf("%q: good %v (%q at %d), want %v", document, good, flaw, end, want)
		}
		if !good {
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, document); err != nil {
			t.Fatal(err)
		}
		value := document[space(document, 0):end]
		if loose != (want.Len() != len(value)) {
			t.Errorf("%q: loose is %v", document, loose)
		}
		if got := compact(bytes.Clone(value)); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%q became %q, want %q", value, got, want.Bytes())
		}
	})
}

// slowKey is appendKey by encoding/json.
func slowKey(record []byte, path []string) (key string, ok bool) {
	value := json.RawMessage(record)
	for _, name := range path {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(value, &object); err != nil || object == nil {
			return "", false
		}
		if value, ok = object[name]; !ok {
			return "", false
		}
	}
	var decoded any
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if err := decoder.Decode(&decoded); err != nil {
		return "", false
	}
	switch v := decoded.(type) {
	case string:
		key = v
	case json.Number, bool:
		key = strings.TrimSpace(string(value))
	default:
		return "", false
	}
	n := utf8.RuneCountInString(key)
	return key, 1 <= n && n <= 256
}

func FuzzField(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d), "a.b")
		f.Add([]byte(d), "user.id")
		f.Add([]byte(d), "ab")
		f.Add([]byte(d), `a\u0062`)
	}
	f.Fuzz(func(t *testing.T, record []byte, path string) {
		where, err := parseField(path)
		if err != nil || !json.Valid(record) || !utf8.Valid(record) {
			return
		}
		first := wanted{name: where[0]}
		if _, _, flaw := scan(record, 0, &first); flaw != "" {
			return // nested too deep
		}
		want, ok := slowKey(record, where)
		for _, at := range []int{0, first.value} {
			got, flaw := where.appendKey([]byte("x"), record, at)
			if ok != (flaw == "") || ok && string(got) != "x"+want || !ok && string(got) != "x" {
				t.Fatalf("%q in %q from %d on: %q %q, want %q %v", path, record, at, got, flaw, want, ok)
			}
		}
	})
}

// slowParse is parse by encoding/json: records by line, and the lines that are refused. Ok is false if the body as a
// whole is.
func slowParse(body []byte, f form) (records map[int]string, refused map[int]bool, ok bool) {
	records, refused = map[int]string{}, map[int]bool{}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	white := func(c rune) bool { return strings.ContainsRune(" \t\r\n", c) }
	compacted := func(value []byte) string {
		var b bytes.Buffer
		_ = json.Compact(&b, value)
		return b.String()
	}
	trimmed := bytes.TrimFunc(body, white)
	if len(trimmed) == 0 {
		return records, refused, true
	}
	valid := func(value []byte) bool { return json.Valid(value) && utf8.Valid(value) && depth(value) <= maxDepth }
	if f != linesForm && trimmed[0] == '[' {
		var elements []json.RawMessage
		if !utf8.Valid(body) || json.Unmarshal(body, &elements) != nil {
			return nil, nil, false
		}
		for i, element := range elements {
			if !valid(element) {
				return nil, nil, false
			}
			records[i+1] = compacted(element)
		}
		return records, refused, true
	}
	if f == valueForm && utf8.Valid(body) && valid(trimmed) {
		records[1] = compacted(trimmed)
		return records, refused, true
	}
	for i, line := range bytes.Split(body, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case len(bytes.TrimFunc(line, white)) == 0:
		case valid(line):
			records[i+1] = string(line)
		default:
			refused[i+1] = true
		}
	}
	return records, refused, true
}

func FuzzParse(f *testing.F) {
	for _, d := range documents {
		for form := range 3 {
			f.Add([]byte(d), form)
			f.Add([]byte(d+"\n"+d), form)
			f.Add([]byte(" ["+d+", "+d+"]"), form)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, number int) {
		how := form((number%3 + 3) % 3)
		want, refused, ok := slowParse(bytes.Clone(body), how)
		p := parsed{hold: func(int) error { return nil }}
		if err := p.parse(bytes.Clone(body), how); (err == nil) != ok {
			t.Fatalf("%q: %v, want right %v", body, err, ok)
		} else if err != nil {
			return
		}
		if len(p.records) != len(want) || len(p.refused) != len(refused) {
			t.Fatalf("%q: %d records and %d refused, want %d and %d", body, len(p.records), len(p.refused), len(want), len(refused))
		}
		for _, r := range p.records {
			if string(r.data) != want[r.line] {
				t.Errorf("%q: line %d is %q, want %q", body, r.line, r.data, want[r.line])
			}
		}
		for _, r := range p.refused {
			if !refused[r.line] {
				t.Errorf("%q: line %d is refused: %s", body, r.line, r.message)
			}
		}
	})
}
