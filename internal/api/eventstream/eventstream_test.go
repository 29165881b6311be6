package eventstream

import (
	"bytes"
	"errors"
	"io"
	"testing"

	aws "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

func TestAWSsLibraryReadsWhatIsAppended(t *testing.T) {
	var stream []byte
	payloads := [][]byte{[]byte("{}"), nil, bytes.Repeat([]byte("x"), 3<<20)}
	for _, p := range payloads {
		stream = Append(stream, Event("SubscribeToShardEvent", "application/json"), p)
	}
	stream = Append(stream, Exception("ResourceNotFoundException"), []byte(`{"message":"gone"}`))
	r, decoder := bytes.NewReader(stream), aws.NewDecoder()
	for _, p := range payloads {
		m, err := decoder.Decode(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.Payload, p) || m.Headers.Get(":event-type").String() != "SubscribeToShardEvent" ||
			m.Headers.Get(":message-type").String() != "event" || m.Headers.Get(":content-type").String() != "application/json" {
			t.Errorf("%d bytes under %v, want %d", len(m.Payload), m.Headers, len(p))
		}
	}
	m, err := decoder.Decode(r, nil)
	if err != nil || m.Headers.Get(":exception-type").String() != "ResourceNotFoundException" || string(m.Payload) != `{"message":"gone"}` {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := decoder.Decode(r, nil); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// FuzzReader holds the reader against AWS's own.
func FuzzReader(f *testing.F) {
	good := Append(nil, Event("E", "application/json"), []byte("{}"))
	f.Add(good)
	f.Add(append(good, good...))
	f.Add(good[:len(good)-1])
	f.Add(good[:4])
	f.Add(Append(nil, Headers("\x01a\x00\x01b\x09"+"0123456789abcdef"), []byte("x")))
	f.Add(Append(nil, Headers("\x01a\x07\xff\xff"), nil))
	f.Add(Append(nil, Headers{0, 0}, nil))
	f.Fuzz(func(t *testing.T, stream []byte) {
		theirs, r := bytes.NewReader(stream), NewReader(bytes.NewReader(stream))
		decoder := aws.NewDecoder()
		for {
			want, wantErr := decoder.Decode(theirs, nil)
			got, err := r.Next()
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("read with %v, by AWS's library with %v", err, wantErr)
			}
			if err != nil {
				return
			}
			if !bytes.Equal(got.Payload, want.Payload) {
				t.Fatalf("payload %q, want %q", got.Payload, want.Payload)
			}
			for _, h := range want.Headers {
				value, isString := h.Value.(aws.StringValue)
				first := want.Headers.Get(h.Name) == h.Value
				if isString && first && got.Header(h.Name) != value.String() {
					t.Fatalf("header %q is %q, want %q", h.Name, got.Header(h.Name), value)
				}
			}
		}
	})
}

// What reads a message reads it as it was appended, whatever the payload, and nothing that was changed on the way.
func FuzzAppend(f *testing.F) {
	f.Add([]byte("before"), "type", []byte(`{"Records":[]}`), uint(3))
	f.Fuzz(func(t *testing.T, before []byte, event string, payload []byte, flip uint) {
		if len(event) > 60_000 {
			return
		}
		message := Append(bytes.Clone(before), Event(event, "application/json"), payload)
		if !bytes.HasPrefix(message, before) {
			t.Fatal("what was there before has changed")
		}
		message = message[len(before):]
		m, err := aws.NewDecoder().Decode(bytes.NewReader(message), nil)
		if err != nil || !bytes.Equal(m.Payload, payload) || m.Headers.Get(":event-type").String() != event {
			t.Fatalf("%v, %v", m, err)
		}
		flip %= uint(len(message)) * 8
		message[flip/8] ^= 1 << (flip % 8)
		if _, err := NewReader(bytes.NewReader(message)).Next(); err == nil {
			t.Fatal("a bit was turned, and nobody noticed")
		}
	})
}

// These two measure what framing costs beside the payload that is there: by hand, in place, and by AWS's library.

var headers = Event("SubscribeToShardEvent", "application/json")

func BenchmarkAppendInPlace(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 1<<10)
	dst := make([]byte, 0, 2<<10)
	b.ReportAllocs()
	for b.Loop() {
		dst = Append(dst[:0], headers, payload)
	}
}

func BenchmarkAWSsEncoder(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 1<<10)
	encoder := aws.NewEncoder()
	var out bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		var m aws.Message
		m.Headers.Set(":event-type", aws.StringValue("SubscribeToShardEvent"))
		m.Headers.Set(":content-type", aws.StringValue("application/json"))
		m.Headers.Set(":message-type", aws.StringValue("event"))
		m.Payload = payload
		if err := encoder.Encode(&out, m); err != nil {
			b.Fatal(err)
		}
	}
}
