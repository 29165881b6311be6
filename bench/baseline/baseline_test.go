package baseline

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheTrivialHandlerAnswersWhatIsAskedFor(t *testing.T) {
	handler := Trivial()
	for _, test := range []struct {
		path   string
		status int
		length int
	}{
		{"/", 200, len(answer)},
		{"/?answer=100000", 200, 100_000},
		{"/?answer=0", 200, 0},
		{"/?answer=-1", 400, -1},
		{"/?answer=99999999999", 400, -1},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, test.path, strings.NewReader("body")))
		if w.Code != test.status || (test.length >= 0 && w.Body.Len() != test.length) {
			t.Errorf("%s: %d with %d bytes", test.path, w.Code, w.Body.Len())
		}
	}
}

func TestTheBareEncoderCountsAllItWasGiven(t *testing.T) {
	parts := [][]byte{[]byte(strings.Repeat("abc", 1000)), []byte(strings.Repeat("def", 1000))}
	got, err := Encode(parts, 6, 5, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got.In != 5*6000 {
		t.Errorf("%d bytes in", got.In)
	}
	if got.Out <= 0 || got.Out >= got.In {
		t.Errorf("%d bytes out of %d", got.Out, got.In)
	}
}
