package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/internal/client"
)

// fakeServer answers requests as a test says: what a real server answers only when it is busy, old or broken.
type fakeServer struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string // operation and body of each request
	answers map[string][]answer
}

// answer is one for an operation: a status and a body, or a connection that breaks.
type answer struct {
	status int
	body   string
}

var broken = answer{status: -1}

func refused(code string) answer { return answer{http.StatusBadRequest, `{"__type":"` + code + `"}`} }
func ok(body string) answer      { return answer{http.StatusOK, body} }

// newFakeServer gives the answers of each operation in their order, the last one for ever.
func newFakeServer(t *testing.T, answers map[string][]answer) *fakeServer {
	t.Helper()
	current := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, current) }) // when server and clients are closed
	f := &fakeServer{answers: answers}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeServer) serve(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.asked = append(f.asked, operation+" "+string(body))
	next := refused("UnknownOperationException")
	if left := f.answers[operation]; len(left) > 0 {
		next = left[0]
		if len(left) > 1 {
			f.answers[operation] = left[1:]
		}
	}
	f.mu.Unlock()
	if next == broken {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(next.status)
	_, _ = io.WriteString(w, next.body)
}

func (f *fakeServer) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Endpoint: f.URL, Region: "us-east-1", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// put lists the data of the records in each PutRecords.
func (f *fakeServer) put(t *testing.T) (requests []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, request := range f.asked {
		body, ok := strings.CutPrefix(request, "PutRecords ")
		if !ok {
			continue
		}
		var in struct{ Records []struct{ Data []byte } }
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Fatal(err)
		}
		var data []string
		for _, r := range in.Records {
			data = append(data, string(r.Data))
		}
		requests = append(requests, strings.Join(data, " "))
	}
	return requests
}
