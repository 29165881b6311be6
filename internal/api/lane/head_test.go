package lane

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// FuzzWhatIsPlainIsTheSameToNetHTTP holds the parser against http.ReadRequest.
func FuzzWhatIsPlainIsTheSameToNetHTTP(f *testing.F) {
	for _, text := range []string{
		request("S.A", ""), request("S.A", "body", "Accept-Encoding: identity", "authorization: AWS4-HMAC-SHA256 Credential=a/b"),
		request("S.A", "", "Connection: Keep-Alive", "x: 1", "X: 2", "x: 3"), request("S.A", "", "Empty:", "Tab:\tx y\t"),
		"POST / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 00\r\nX-AMZ-TARGET:S.A\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "PO",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var h head
		h.parse([]byte(request("S.B", "", "X: 1", "Y: 2"))) // whose memory is used again
		size, v := h.parse(text)
		if n, again := h.parse(text); n != size || again != v { // known lines are not looked at again
			t.Fatalf("once %d, of %d bytes, twice %d, of %d", v, size, again, n)
		}
		for i := range text { // the verdict is never taken back
			if i > 300 {
				break
			}
			var part head
			if n, early := part.parse(text[:i]); early != incomplete && (early != v || n != size) {
				t.Fatalf("the first %d bytes are %d, all are %d", i, early, v)
			}
		}
		if v != plain {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		if r.Method != http.MethodPost || r.URL.String() != "/" || r.Proto != "HTTP/1.1" || r.Host != h.host ||
			r.ContentLength != h.length || r.Close || r.TransferEncoding != nil || r.Trailer != nil {
			t.Errorf("net/http reads %+v", r)
		}
		if got, want := fmt.Sprint(h.header), fmt.Sprint(r.Header); got != want {
			t.Errorf("headers %s\nwant %s", got, want)
		}
		if text[size-1] != '\n' || h.target != r.Header.Get("X-Amz-Target") {
			t.Errorf("%d bytes, target %q", size, h.target)
		}
	})
}

// TestWhatTheRequestBeforeHadDoesNotShow parses one head after the other with the same memory, and each with new
// memory.
func TestWhatTheRequestBeforeHadDoesNotShow(t *testing.T) {
	texts := []string{
		request("S.A", "", "A: 1", "B: 2"), request("S.A", "", "A: 3", "B: 4"), request("S.A", "", "A: 3"), request("S.A", ""),
		request("S.A", "", "A: 5", "a: 6"), request("S.A", "", "A: 7", "a: 8"), request("S.A", "", "A: 9", "C: 1"),
		request("S.A", "", "C: 1", "A: 2"), request("S.A", "", "Expect: x"), request("S.A", "", "C: 1", "D: 2", "a: 3"),
		request("S.A", "", "c: 1", "d: 2", "A: 3"), request("S.A", "", "c: 1", "\x80: 2"), request("S.A", "", "c: 1", "d: 2"),
		request("S.A", "", strings.Repeat("m: 1\r\n", maxLines-3)+"n: 1"), request("S.A", "", "c: 1", "d: 2"),
	}
	var used head
	for _, text := range texts {
		var fresh head
		size, v := used.parse([]byte(text))
		wantSize, want := fresh.parse([]byte(text))
		if size != wantSize || v != want {
			t.Errorf("%q: %d, %d bytes, want %d, %d bytes", text, v, size, want, wantSize)
		}
		if v == plain && (fmt.Sprint(used.header) != fmt.Sprint(fresh.header) || used.host != fresh.host ||
			used.length != fresh.length || used.target != fresh.target) {
			t.Errorf("%q: %v\nwant %v", text, used.header, fresh.header)
		}
	}
}

func BenchmarkHead(b *testing.B) {
	text := []byte(request("Kinesis_20131202.PutRecord", "", "Content-Type: application/x-amz-json-1.1", "X-Amz-Date: 20261129T100000Z",
		"User-Agent: aws-sdk-go-v2/1.2", "Amz-Sdk-Invocation-Id: 8f7c", "Amz-Sdk-Request: attempt=1; max=3",
		"Authorization: AWS4-HMAC-SHA256 Credential=AKID/20261129/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc"))
	var h head
	b.ReportAllocs()
	for b.Loop() {
		if _, v := h.parse(text); v != plain {
			b.Fatal(v)
		}
	}
}

// TestLinesThatHaveNotChangedCostNothing also holds what a client changes against what it had before.
func TestLinesThatHaveNotChangedCostNothing(t *testing.T) {
	text := func(date string) []byte {
		return []byte(request("S.A", "", "User-Agent: sdk", "X-Amz-Date: "+date, "Accept: a,  b"))
	}
	var h head
	first, second := text("20261129T100000Z"), text("20261129T100001Z")
	h.parse(first)
	if n := testing.AllocsPerRun(100, func() { h.parse(first) }); n != 0 {
		t.Errorf("%v allocations for the same head", n)
	}
	agent := &h.header["User-Agent"][0]
	if _, v := h.parse(second); v != plain || h.header.Get("X-Amz-Date") != "20261129T100001Z" {
		t.Errorf("%d: %v", v, h.header)
	}
	if agent != &h.header["User-Agent"][0] || *agent != "sdk" {
		t.Errorf("%v", h.header)
	}
}
