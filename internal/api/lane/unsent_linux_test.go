package lane

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestAServerKnowsHowMuchOfAnAnswerHasComeWhileItWaitsToSendMore(t *testing.T) {
	const length, piece = 32 << 20, 256 << 10
	writers := make(chan *response, 1)
	f := start(t, func(w http.ResponseWriter, _ *http.Request) {
		r := w.(*response)
		if !r.Tells() {
			t.Error("it does not tell")
		}
		writers <- r
		w.Header().Set("Content-Length", fmt.Sprint(length))
		for range length / piece {
			if _, err := w.Write(make([]byte, piece)); err != nil {
				return
			}
		}
	})
	c, in := f.dial()
	if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request("S.Read", "")); err != nil {
		t.Fatal(err)
	}
	w := <-writers
	settle := func() int64 { // until nothing more comes
		for last, same := w.Got(), 0; ; {
			<-time.After(20 * time.Millisecond)
			now := w.Got()
			if same++; now != last {
				last, same = now, 0
			}
			if same == 5 {
				return now
			}
		}
	}
	before := settle()
	if before >= length/2 {
		t.Fatalf("%d bytes have come to who reads nothing", before)
	}
	const more = 1 << 20
	if _, err := io.CopyN(io.Discard, in, more); err != nil {
		t.Fatal(err)
	}
	if after := settle(); after < before+more/2 {
		t.Errorf("%d bytes have come where %d had, and %d more were read", after, before, more)
	}
	_ = c.Close()
}
