package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

const linesKey = "wk-0123456789abcdef"

// ingestConfig is a configuration file with one API key, linesKey.
func ingestConfig(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	text := fmt.Sprintf("region: %s\ningest:\n  keys:\n    - {name: lines, key: %s, streams: ['*']}\n", region, linesKey)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// produceLines sends entries by plain HTTP until ctx ends, some to a request, so that some requests are more than one put,
// and all with the same partition key.
func produceLines(ctx context.Context, endpoint, stream, producer string, l *ledger, acked *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n, request := 0, 0; ctx.Err() == nil; request++ {
		var batch []entry
		for range []int{1, 40, 700}[request%3] {
			batch = append(batch, entry{producer, n, "z"})
			n++
		}
		l.try(batch...)
		refused, err := postLines(ctx, client, endpoint, stream, batch)
		if err != nil {
			pause(ctx)
			continue
		}
		for i, e := range batch {
			if !refused[i+1] {
				l.ack(acknowledgement{entry: e})
				acked.Add(1)
			}
		}
	}
}

// postLines sends entries in one request, and returns the lines that were refused.
func postLines(ctx context.Context, client *http.Client, endpoint, stream string, batch []entry) (refused map[int]bool, err error) {
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	for _, e := range batch {
		if _, err := zip.Write(append(e.encode(), '\n')); err != nil {
			return nil, err
		}
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/v1/streams/"+stream+"/records?partition_key_field=producer", &body)
	if err != nil {
		return nil, err
	}
	request.GetBody = nil // or it would be sent again when a connection breaks
	request.Header.Set("Content-Encoding", "gzip")
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("X-Api-Key", linesKey)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, text)
	}
	var answer struct {
		Records, Failed int
		Errors          []struct{ Line int }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	refused = map[int]bool{}
	for _, e := range answer.Errors {
		refused[e.Line] = true
	}
	if len(refused) != answer.Failed || answer.Records+answer.Failed != len(batch) {
		panic(fmt.Sprintf("%d entries were answered with %s", len(batch), text))
	}
	return refused, nil
}

// The first thing that docs/http-ingestion.md shows, on a server without any configuration.
func TestTheCurlLineOfTheDocumentationWorks(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, "curl is not installed")
	}
	s := newServer(t)
	s.env = []string{"SLUICE_REGION=" + region}
	s.start()
	createStream(t, s, "clicks", 1)
	line := strings.ReplaceAll(documented(t, "sh", "curl"), "http://127.0.0.1:4566", s.endpoint())
	got := run(t, nil, "sh", "-c", line)
	if want := documented(t, "json", "records"); got != want {
		t.Errorf("the documentation says %s, and curl printed %s", want, got)
	}
	records := readStream(t.Context(), t, s.reader(), "clicks")
	if len(records) != 2 || records[0].key != "u1" || records[1].key != "u2" || records[1].data != `{"user":"u2","page":"/basket"}` {
		t.Errorf("in the stream: %v", records)
	}
}
