package ingest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// maxRecords is how many records a request may have, those that are refused included. It bounds what is kept of each
// and what is answered.
const maxRecords = 100_000

// form is how records lie in a body.
type form int

const (
	anyForm   form = iota // an array if it begins like one, else lines
	linesForm             // a JSON value a line
	valueForm             // an array, or one value, or else lines
)

// formOf tells the form by the content type. False: it is a type that records do not come in.
func formOf(contentType string) (form, bool) {
	kind, _, _ := strings.Cut(contentType, ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines":
		return linesForm, true
	case "application/json", "text/json":
		return valueForm, true
	case "", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded": // the last is what curl sends
		return anyForm, true
	}
	if strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json") {
		return valueForm, true
	}
	return 0, false
}

// keySource is where records get their partition keys from: all the same one, a field, or at random.
type keySource struct {
	fixed string
	field field
}

// record is one that was found in a body and may be written.
type record struct {
	data []byte // in the body
	key  int    // where its partition key ends in parsed.keys
	line int
}

// refusal is a record that is not written, and why.
type refusal struct {
	line          int
	code, message string
}

// parsed is what was found in a body. It is memory for many requests, one after the other.
type parsed struct {
	keys    []byte // the partition keys, one after the other
	records []record
	refused []refusal

	source keySource
	hold   func(bytes int) error
	held   int // records that memory has been reserved for
}

// reset lets go of a request, and of memory that few requests need.
func (p *parsed) reset() {
	if cap(p.records) > keptRecords || cap(p.refused) > keptRecords || cap(p.keys) > keptRecords*usualKey {
		*p = parsed{}
		return
	}
	clear(p.records)
	clear(p.refused)
	*p = parsed{keys: p.keys[:0], records: p.records[:0], refused: p.refused[:0]}
}

// Memory for records is reserved in steps; the first is every request's for nothing.
const (
	holdStep    = 1024
	recordBytes = 256 // what one costs: its place here, its key, and its part of the answer
	usualKey    = 64  // a longer one costs more
	keptRecords = 16 * holdStep
)

// count makes sure that there is room for one more record, which is the line-th.
func (p *parsed) count() error {
	n := len(p.records) + len(p.refused)
	if n >= maxRecords {
		return &wire.Fault{Code: "TooManyRecords", Status: http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("The request has more than %d records.", maxRecords)}
	}
	if p.held == 0 {
		p.held = holdStep
	}
	if n >= p.held {
		if err := p.hold(holdStep * recordBytes); err != nil {
			return err
		}
		p.held += holdStep
	}
	return nil
}

// parse finds the records of a body, which it may change. An error means that the body as a whole is refused. What is
// wrong with single lines stands in p.refused; an array is right or wrong as a whole, because nobody can tell where the
// element behind a broken one begins.
func (p *parsed) parse(body []byte, f form) error {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	text := utf8.Valid(body)
	start := space(body, 0)
	if start == len(body) {
		return nil
	}
	switch {
	case f == linesForm:
	case body[start] == '[':
		return p.array(body, start, text)
	case f == valueForm && text:
		end, loose, flaw := scan(body, start, nil)
		if flaw == "" && space(body, end) == len(body) {
			value := body[start:end]
			if loose {
				value = compact(value)
			}
			return p.add(value, 0, 1)
		}
	}
	return p.lines(body, text)
}

// lines takes a record a line. A record is its line's bytes, without the line's end; lines of white space are none.
func (p *parsed) lines(body []byte, text bool) error {
	var want *wanted // the first name of the partition key's field is found on the way
	if p.source.field != nil {
		want = &wanted{name: p.source.field[0]}
	}
	for line := 1; len(body) > 0; line++ {
		var data []byte
		if end := bytes.IndexByte(body, '\n'); end < 0 {
			data, body = body, nil
		} else {
			data, body = body[:end:end], body[end+1:]
		}
		if n := len(data); n > 0 && data[n-1] == '\r' {
			data = data[: n-1 : n-1]
		}
		start := space(data, 0)
		if start == len(data) {
			continue
		}
		if want != nil {
			want.value = 0
		}
		end, _, flaw := scan(data, start, want)
		if flaw == "" {
			if rest := space(data, end); rest < len(data) {
				end, flaw = rest, "unexpected character after the value"
			} else if !text && !utf8.Valid(data) {
				flaw = "invalid UTF-8"
			}
		}
		var err error
		if flaw == "" {
			at := 0
			if want != nil {
				at = want.value
			}
			err = p.add(data, at, line)
		} else {
			err = p.refuse(line, codeInvalidJSON, "Invalid JSON: "+flaw+", at byte "+strconv.Itoa(end)+" of the line.")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// array takes the elements of the array that begins at body[i]. A record is its element's bytes, without the white
// space between its tokens, so that no record has a line break in it, like those that come in lines.
func (p *parsed) array(body []byte, i int, text bool) error {
	invalid := func(at int, flaw string) error {
		return &wire.Fault{Code: codeInvalidJSON, Status: http.StatusBadRequest,
			Message: "The body is not a valid JSON array: " + flaw + ", at byte " + strconv.Itoa(at) + "."}
	}
	if !text {
		return invalid(i, "invalid UTF-8 somewhere")
	}
	i = space(body, i+1)
	if i < len(body) && body[i] == ']' {
		i++
	} else {
		for number := 1; ; number++ {
			start := space(body, i)
			end, loose, flaw := scan(body, start, nil)
			if flaw != "" {
				return invalid(end, flaw)
			}
			value := body[start:end:end]
			if loose {
				value = compact(value)
			}
			if err := p.add(value, 0, number); err != nil {
				return err
			}
			if i = space(body, end); i == len(body) {
				return invalid(i, "unexpected end")
			}
			if body[i] == ']' {
				i++
				break
			}
			if body[i] != ',' {
				return invalid(i, "unexpected character where ',' or the end is expected")
			}
			i++
		}
	}
	if i = space(body, i); i < len(body) {
		return invalid(i, "unexpected character behind the array")
	}
	return nil
}

// add takes a record, which is valid JSON. At is where the field of its partition key begins, as in field.appendKey.
func (p *parsed) add(data []byte, at, line int) error {
	if err := p.count(); err != nil {
		return err
	}
	switch {
	case p.source.fixed != "":
	case p.source.field != nil:
		before := len(p.keys)
		var flaw string
		if p.keys, flaw = p.source.field.appendKey(p.keys, data, at); flaw != "" {
			p.refused = append(p.refused, refusal{line: line, code: codeNoPartitionKey, message: flaw})
			return p.hold(2 * len(flaw)) // here, and in the answer
		}
		if n := len(p.keys) - before; n > usualKey {
			if err := p.hold(n); err != nil {
				return err
			}
		}
	default:
		p.keys = appendRandom(p.keys)
	}
	p.records = append(p.records, record{data: data, key: len(p.keys), line: line})
	return nil
}

// refuse takes a record that is not to be written.
func (p *parsed) refuse(line int, code, message string) error {
	if err := p.count(); err != nil {
		return err
	}
	p.refused = append(p.refused, refusal{line: line, code: code, message: message})
	return nil
}

// appendRandom appends a partition key that no other record has, so that records spread evenly over the shards.
func appendRandom(dst []byte) []byte {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	for n := rand.Uint64() | 1<<63; n != 0; n >>= 5 { // thirteen of them
		dst = append(dst, digits[n&31])
	}
	return dst
}
