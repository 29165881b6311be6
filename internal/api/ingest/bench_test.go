package ingest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/seed-462d9463/sluice/internal/clickstream"
)

// events is a body of a clickstream, an event a line.
func events(count int) []byte {
	generator := clickstream.New(clickstream.Options{Seed: 1})
	var body []byte
	for range count {
		body, _ = generator.Append(body)
		body = append(body, '\n')
	}
	return body
}

// What it costs to find the records of a body, with what their partition keys come from; and encoding/json's checking alone,
// beside it.
func BenchmarkParse(b *testing.B) {
	body := events(5000)
	for _, c := range []struct {
		name   string
		source keySource
	}{
		{"random", keySource{}}, {"fixed", keySource{fixed: "k"}},
		{"field", keySource{field: field{"session_id"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := parsed{}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				p.reset()
				p.source, p.hold = c.source, func(int) error { return nil }
				if err := p.parse(body, linesForm); err != nil || len(p.refused) > 0 {
					b.Fatal(err, p.refused)
				}
			}
		})
	}
	b.Run("encoding-json-valid", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			for line := range bytes.Lines(body) {
				if !json.Valid(line) {
					b.Fatalf("%s", line)
				}
			}
		}
	})
}

func BenchmarkGunzip(b *testing.B) {
	body := events(5000)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(body)
	_ = w.Close()
	reader := new(gzip.Reader)
	into := make([]byte, len(body)+1)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := reader.Reset(bytes.NewReader(zipped.Bytes())); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < len(body); {
			m, err := reader.Read(into[n:])
			if n += m; err != nil && n < len(body) {
				b.Fatal(err)
			}
		}
	}
}
