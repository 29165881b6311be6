package s3_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/sinks/s3"
)

// storeConfig is for a store that is played by a handler.
func storeConfig(t *testing.T, endpoint string) s3.Config {
	t.Helper()
	return s3.Config{Endpoint: endpoint, AccessKey: "access", SecretKey: "secret", Region: "us-east-1", SpoolDir: t.TempDir()}
}

func TestAnswersAreClassified(t *testing.T) {
	type answer struct {
		status int
		code   string
	}
	for want, answers := range map[string][]answer{
		sinks.ClassPermanent: {
			{403, "AccessDenied"}, {403, "InvalidAccessKeyId"}, {403, "SignatureDoesNotMatch"}, {403, "RequestTimeTooSkewed"},
			{403, "AllAccessDisabled"}, {404, "NoSuchBucket"}, {400, "ExpiredToken"}, {400, "AuthorizationHeaderMalformed"},
			{400, "InvalidRequest"}, {400, "EntityTooLarge"}, {400, "KeyTooLongError"}, {301, "PermanentRedirect"},
			{405, "MethodNotAllowed"}, {501, "NotImplemented"}, {418, ""},
		},
		sinks.ClassRetryable: {
			{500, "InternalError"}, {503, "SlowDown"}, {503, "ServiceUnavailable"}, {502, ""}, {504, ""}, {507, "XMinioStorageFull"},
			{429, "TooManyRequests"}, {408, ""}, {409, "OperationAborted"}, {400, "RequestTimeout"}, {400, "BadDigest"},
			{400, "IncompleteBody"},
		},
	} {
		for _, a := range answers {
			t.Run(fmt.Sprintf("%d%s", a.status, a.code), func(t *testing.T) {
				store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					w.WriteHeader(a.status)
					if a.code != "" {
						_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>what happened</Message></Error>", a.code)
					}
				}))
				defer store.Close()
				err := open(t, storeConfig(t, store.URL), "bucket").Put(t.Context(), object("some/key", "content"))
				expectError(t, err, want == sinks.ClassPermanent, `"bucket"`, `"some/key"`, store.URL, fmt.Sprint(a.status), a.code)
				if got := sinks.Class(err); got != want {
					t.Errorf("class %s, want %s: %v", got, want, err)
				}
				if strings.Contains(err.Error(), "secret\"") {
					t.Errorf("the error shows the secret: %v", err)
				}
			})
		}
	}
}

func TestAKeyThatTheStoreRefusesIsAnInvalidKey(t *testing.T) {
	for _, code := range []string{"KeyTooLongError", "XMinioInvalidObjectName"} {
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
		}))
		err := open(t, storeConfig(t, store.URL), "bucket").Put(t.Context(), object("key", "content"))
		if !errors.Is(err, sinks.ErrInvalidKey) || !sinks.IsPermanent(err) {
			t.Errorf("%s: %v, want a permanent %q", code, err, sinks.ErrInvalidKey)
		}
		store.Close()
	}
}

// recorder is a store that takes everything and remembers the last request.
type recorder struct {
	request  *http.Request
	requests int
	bytes    int64 // of the last body, as it was sent: with signatures in between on plain HTTP
}

func (s *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.request = r
	s.requests++
	s.bytes, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("ETag", `"etag"`)
}

func TestTheRequestSaysWhatTheObjectIs(t *testing.T) {
	taker := &recorder{}
	store := httptest.NewServer(taker)
	defer store.Close()
	sink := open(t, storeConfig(t, store.URL), "bucket")
	for contentType, want := range map[string]string{"": "application/octet-stream", "application/gzip": "application/gzip"} {
		o := object("dir/key with ü.gz", "content")
		o.ContentType = contentType
		if err := sink.Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got := taker.request.Header.Get("Content-Type"); got != want {
			t.Errorf("content type %q, want %q", got, want)
		}
		if taker.request.Header.Get("Content-Md5") == "" {
			t.Error("no checksum")
		}
		if got := taker.request.URL.Path; got != "/bucket/dir/key with ü.gz" {
			t.Errorf("path %q", got)
		}
	}
}

func TestAnObjectOfUsualSizeIsOneRequest(t *testing.T) {
	taker := &recorder{}
	store := httptest.NewServer(taker)
	defer store.Close()
	const size = 40 << 20
	err := open(t, storeConfig(t, store.URL), "bucket").Put(t.Context(), sinks.Object{Key: "key", Body: zeros(size)})
	if err != nil {
		t.Fatal(err)
	}
	if taker.requests != 1 || taker.request.Method != http.MethodPut || taker.request.URL.RawQuery != "" || taker.bytes < size {
		t.Errorf("%d requests, the last one %s %s with %d bytes", taker.requests, taker.request.Method, taker.request.URL, taker.bytes)
	}
}

func TestACertificateIsVerifiedAgainstTheConfiguredAuthority(t *testing.T) {
	store := httptest.NewUnstartedServer(&recorder{})
	store.Config.ErrorLog = nil
	store.StartTLS()
	defer store.Close()
	put := func(change func(*s3.Config)) error {
		config := storeConfig(t, store.URL)
		change(&config)
		return open(t, config, "bucket").Put(t.Context(), object("key", "content"))
	}
	expectError(t, put(func(*s3.Config) {}), true, "certificate", "ca_file", store.URL)
	if err := put(func(c *s3.Config) { c.InsecureSkipVerify = true }); err != nil {
		t.Errorf("without verification: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: store.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := put(func(c *s3.Config) { c.CAFile = file }); err != nil {
		t.Errorf("with ca_file: %v", err)
	}
	if err := put(func(c *s3.Config) { c.CAFile, c.Endpoint = file, strings.TrimPrefix(store.URL, "https://") }); err != nil {
		t.Errorf("without a scheme: %v", err)
	}
}

func TestAPlainServerBehindAnHTTPSEndpointIsTold(t *testing.T) {
	store := httptest.NewServer(&recorder{})
	defer store.Close()
	for _, prefix := range []string{"", "https://"} {
		config := storeConfig(t, prefix+strings.TrimPrefix(store.URL, "http://"))
		expectError(t, open(t, config, "bucket").Put(t.Context(), object("key", "content")), true, "http://")
	}
}

func TestEmptyPartsOfKeysGoToAmazonOnly(t *testing.T) {
	taker := &recorder{}
	store := httptest.NewServer(taker)
	defer store.Close()
	sink := open(t, storeConfig(t, store.URL), "bucket")
	for _, key := range []string{"/a", "a/", "a//b", ".", "a/..", "./a", "a/ .. /b"} {
		if err := sink.Put(t.Context(), object(key, "content")); !errors.Is(err, sinks.ErrInvalidKey) {
			t.Errorf("put %q: %v, want %q", key, err, sinks.ErrInvalidKey)
		}
	}
	if taker.request != nil {
		t.Error("a refused key was sent nevertheless")
	}
}
