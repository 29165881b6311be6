package api_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
)

const typeCBOR = "application/x-amz-cbor-1.1"

// Every exchange of the golden files is made once more in CBOR, as the SDKs for Java encode it, and has to be
// answered by what the file says, in CBOR.
func TestEveryOperationAnswersInCBORAsInJSON(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/kinesis*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	played := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := start(t)
			s.setUp(t)
			seen := map[string]string{}
			lines := strings.Split(string(text), "\n")
			for i, line := range lines[:len(lines)-1] {
				request, isRequest := strings.CutPrefix(line, "> ")
				want, answered := strings.CutPrefix(lines[i+1], "< ")
				target, body, _ := strings.Cut(request, " ")
				if !isRequest || !answered || !strings.HasPrefix(target, "Kinesis_20131202.") {
					continue
				}
				if target == "Kinesis_20131202.SubscribeToShard" {
					continue // which AWS does not take in CBOR
				}
				for name, value := range seen {
					body = strings.ReplaceAll(body, name, value)
				}
				document, err := toCBOR(body)
				if err != nil {
					continue // it is about what is no JSON, or JSON's own types
				}
				played++
				a := s.inCBOR(t, target, document)
				got := strconv.Itoa(a.status)
				if len(a.body) > 0 {
					got += " " + normalize(fromCBOR(t, a.body), seen)
				}
				if diff := cmp.Diff(sorted(t, want), sorted(t, got)); diff != "" {
					t.Errorf("%s %s (-JSON +CBOR):\n%s", target, body, diff)
				}
				if len(a.body) > 0 && a.header.Get("Content-Type") != typeCBOR {
					t.Errorf("%s: content type %q", target, a.header.Get("Content-Type"))
				}
			}
		})
	}
	if played < 50 {
		t.Errorf("only %d exchanges", played)
	}
}

// inCBOR makes a signed request whose body is CBOR.
func (s *server) inCBOR(t *testing.T, target string, document []byte) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url, strings.NewReader(string(document)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", typeCBOR)
	r.Header.Set("X-Amz-Target", target)
	sign(r, string(document))
	return s.do(t, r)
}

var errNotInCBOR = errors.New("the request has no twin in CBOR")

// toCBOR encodes a request as the SDKs for Java do: blobs as bytes, times as milliseconds with a tag.
func toCBOR(body string) ([]byte, error) {
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil || decoder.More() || tree == nil {
		return nil, errNotInCBOR
	}
	converted, err := javaLike("", tree)
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(converted)
}

func javaLike(name string, value any) (any, error) {
	var err error
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			if v[name], err = javaLike(name, v[name]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range v {
			if v[i], err = javaLike("", v[i]); err != nil {
				return nil, err
			}
		}
	case json.Number:
		f, _ := v.Float64()
		if strings.HasSuffix(name, "Timestamp") {
			return cbor.Tag{Number: 1, Content: int64(f * 1000)}, nil
		}
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return f, nil
	case string:
		if name == "Data" {
			blob, err := base64.StdEncoding.Strict().DecodeString(v)
			if err != nil || strings.Contains(v, "\n") {
				return nil, errNotInCBOR
			}
			return blob, nil
		}
	}
	return value, nil
}

// fromCBOR turns an answer into the JSON that it stands for.
func fromCBOR(t *testing.T, document []byte) string {
	t.Helper()
	var tree any
	if err := cbor.Unmarshal(document, &tree); err != nil {
		t.Fatalf("%x: %v", document, err)
	}
	text, err := json.Marshal(jsonLike(t, "", tree))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func jsonLike(t *testing.T, name string, value any) any {
	t.Helper()
	switch v := value.(type) {
	case map[any]any:
		m := map[string]any{}
		for name, value := range v {
			m[name.(string)] = jsonLike(t, name.(string), value)
		}
		return m
	case []any:
		for i := range v {
			v[i] = jsonLike(t, "", v[i])
		}
	case time.Time: // of so many milliseconds, which RFC 8949 takes for seconds
		if d := time.Since(time.UnixMilli(v.Unix())).Abs(); d > 25*time.Hour {
			t.Errorf("%s: %d milliseconds are not about now", name, v.Unix())
		}
		return "<time>"
	}
	return value
}

var bareName = regexp.MustCompile(`:(<\w+>)`)

// sorted is an answer with its members in the order of their names.
func sorted(t *testing.T, answer string) string {
	t.Helper()
	status, body, _ := strings.Cut(answer, " ")
	if body == "" {
		return status
	}
	// Errors of decoding have another name for their message in CBOR.
	body = strings.Replace(body, `"Message":`, `"message":`, 1)
	var tree any
	if err := json.Unmarshal([]byte(bareName.ReplaceAllString(body, `:"$1"`)), &tree); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return status + " " + string(text)
}

// AWS answers so, too; the SDKs for Java ask for events in JSON though they speak CBOR otherwise.
func TestEventsAreNotGivenInCBOR(t *testing.T) {
	s := start(t)
	document, err := toCBOR(`{"ConsumerARN":"arn:aws:kinesis:eu-central-1:123456789012:stream/s/consumer/c:1","ShardId":"0","StartingPosition":{"Type":"LATEST"}}`)
	if err != nil {
		t.Fatal(err)
	}
	a := s.inCBOR(t, "Kinesis_20131202.SubscribeToShard", document)
	if a.status != http.StatusInternalServerError || a.header.Get("Content-Type") != typeCBOR || !strings.Contains(fromCBOR(t, a.body), "InternalFailure") {
		t.Errorf("%d %q", a.status, a.body)
	}
}
