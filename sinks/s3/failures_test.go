package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/sinks/s3"
	"github.com/seed-462d9463/sluice/sinks/sinktest/miniotest"
)

// zeros is a large body that costs little to make.
type zeros int64

func (z zeros) WriteTo(w io.Writer) (int64, error) {
	buffer := make([]byte, 1<<20)
	var written int64
	for written < int64(z) {
		n, err := w.Write(buffer[:min(int64(len(buffer)), int64(z)-written)])
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// expectError fails the test unless the error has all that an operator needs.
func expectError(t *testing.T, err error, permanent bool, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", words)
	}
	if sinks.IsPermanent(err) != permanent {
		t.Errorf("permanent is %t, want %t: %v", !permanent, permanent, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error does not say %q: %v", word, err)
		}
	}
}

func TestAMissingBucketIsToldWithWhatToDo(t *testing.T) {
	server := miniotest.Start(t)
	for _, size := range []int64{0, 1000, 8 << 20} {
		err := open(t, config(t, server), "nowhere").Put(t.Context(), sinks.Object{Key: "some/key", Body: zeros(size)})
		expectError(t, err, true, `"nowhere"`, `"some/key"`, server.Endpoint, "NoSuchBucket", "create the bucket", "create_buckets: true")
	}
	if _, err := open(t, config(t, server), "nowhere").Stat(t.Context(), "some/key"); !errors.Is(err, sinks.ErrNotFound) {
		t.Errorf("stat: %v, want %v", err, sinks.ErrNotFound)
	}
}

func TestAMissingBucketIsCreatedWhenAskedFor(t *testing.T) {
	server := miniotest.Start(t)
	config := config(t, server)
	config.CreateBuckets = true
	sink := open(t, config, "made-on-demand")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := sink.Put(t.Context(), object(fmt.Sprintf("key-%d", i), "content")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys := server.Keys(t, "made-on-demand"); len(keys) != 8 {
		t.Errorf("keys %q, want 8", keys)
	}
}

func TestABucketThatIsRemovedAndMadeAgainTakesObjectsAgain(t *testing.T) {
	server := miniotest.Start(t)
	server.CreateBucket(t, "comes-and-goes")
	sink := open(t, config(t, server), "comes-and-goes")
	if err := sink.Put(t.Context(), object("key", "1")); err != nil {
		t.Fatal(err)
	}
	server.RemoveBucket(t, "comes-and-goes")
	expectError(t, sink.Put(t.Context(), object("key", "2")), true, "NoSuchBucket")
	server.CreateBucket(t, "comes-and-goes")
	if err := sink.Put(t.Context(), object("key", "3")); err != nil {
		t.Fatal(err)
	}
	if got := server.Get(t, "comes-and-goes", "key"); string(got) != "3" {
		t.Errorf("content %q", got)
	}
}

func TestWrongKeysAreToldWithoutShowingThem(t *testing.T) {
	server := miniotest.Start(t)
	server.CreateBucket(t, "bucket")
	for name, change := range map[string]func(*s3.Config){
		"access_key": func(c *s3.Config) { c.AccessKey = "nobody" },
		"secret_key": func(c *s3.Config) { c.SecretKey = "not-the-secret" },
	} {
		config := config(t, server)
		change(&config)
		// A body that is larger than the sockets' buffers: the refusal must be heard nevertheless.
		for _, size := range []int64{10, 16 << 20} {
			err := open(t, config, "bucket").Put(t.Context(), sinks.Object{Key: "key", Body: zeros(size)})
			expectError(t, err, true, "check "+name, server.Endpoint)
			if strings.Contains(err.Error(), config.SecretKey) {
				t.Errorf("the error shows the secret: %v", err)
			}
		}
		expectEmpty(t, config.SpoolDir)
	}
}

func TestAServerThatIsAwayIsWorthARetry(t *testing.T) {
	server := miniotest.Start(t)
	server.CreateBucket(t, "bucket")
	sink := open(t, config(t, server), "bucket")
	if err := sink.Put(t.Context(), object("before", "content")); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	// The first attempt may still find the connection of before.
	expectError(t, sink.Put(t.Context(), object("key", "content")), false, server.Endpoint)
	expectError(t, sink.Put(t.Context(), object("key", "content")), false, server.Endpoint, "refused")
	if _, err := sink.Stat(t.Context(), "before"); err == nil || errors.Is(err, sinks.ErrNotFound) {
		t.Errorf("stat while the server is away: %v, want an error that does not deny the object", err)
	}
	server.Restart(t)
	if err := sink.Put(t.Context(), object("key", "content")); err != nil {
		t.Fatal(err)
	}
	if got := server.Get(t, "bucket", "key"); string(got) != "content" {
		t.Errorf("content %q", got)
	}
}

func TestAnUploadThatIsCutOffLeavesTheOldObject(t *testing.T) {
	const size, middle = 24 << 20, 9 << 20
	for name, fault := range map[string]func(*miniotest.Server, func() *miniotest.Proxy){
		"server killed":     func(server *miniotest.Server, _ func() *miniotest.Proxy) { server.Kill() },
		"connection broken": func(_ *miniotest.Server, proxy func() *miniotest.Proxy) { proxy().Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			server := miniotest.Start(t)
			server.CreateBucket(t, "bucket")
			config := config(t, server)
			if err := open(t, config, "bucket").Put(t.Context(), object("key", "old")); err != nil {
				t.Fatal(err)
			}
			var proxy *miniotest.Proxy
			proxy = server.StartProxy(t, middle, func() { fault(server, func() *miniotest.Proxy { return proxy }) })
			config.Endpoint = proxy.Endpoint
			sink := open(t, config, "bucket")
			err := sink.Put(t.Context(), sinks.Object{Key: "key", Body: zeros(size)})
			expectError(t, err, false, proxy.Endpoint, `"key"`)
			expectEmpty(t, config.SpoolDir)
			if name == "server killed" {
				server.Restart(t)
			}
			if got := server.Get(t, "bucket", "key"); string(got) != "old" {
				t.Fatalf("%d bytes after an upload that was cut off", len(got))
			}
			if err := sink.Put(t.Context(), sinks.Object{Key: "key", Body: zeros(size)}); err != nil {
				t.Fatal(err)
			}
			if got := server.Get(t, "bucket", "key"); len(got) != size {
				t.Fatalf("%d bytes, want %d", len(got), size)
			}
		})
	}
}

func TestAServerThatHangsDoesNotHangThePut(t *testing.T) {
	server := miniotest.Start(t)
	server.CreateBucket(t, "bucket")
	for name, threshold := range map[string]int64{"before it answers": 1, "in the middle of the content": 9 << 20} {
		t.Run(name, func(t *testing.T) {
			healed := make(chan struct{})
			proxy := server.StartProxy(t, threshold, func() { <-healed })
			t.Cleanup(func() { close(healed) })
			config := config(t, server)
			config.Endpoint = proxy.Endpoint
			config.Timeout = 500 * time.Millisecond
			err := open(t, config, "bucket").Put(t.Context(), sinks.Object{Key: "key", Body: zeros(24 << 20)})
			expectError(t, err, false, proxy.Endpoint, "neither takes bytes nor answers")
			if errors.Is(err, context.Canceled) {
				t.Errorf("the error reads as if the caller had canceled: %v", err)
			}
			expectEmpty(t, config.SpoolDir)
		})
	}
}

func TestCancelEndsAnUploadThatHangs(t *testing.T) {
	server := miniotest.Start(t)
	server.CreateBucket(t, "bucket")
	ctx, cancel := context.WithCancelCause(t.Context())
	healed := make(chan struct{})
	proxy := server.StartProxy(t, 9<<20, func() {
		cancel(errors.New("shutting down"))
		<-healed
	})
	t.Cleanup(func() { close(healed) })
	config := config(t, server)
	config.Endpoint = proxy.Endpoint
	err := open(t, config, "bucket").Put(ctx, sinks.Object{Key: "key", Body: zeros(24 << 20)})
	expectError(t, err, false, "shutting down")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	proxy.Cut()
	if keys := server.Keys(t, "bucket"); len(keys) != 0 {
		t.Errorf("keys %q after a canceled upload", keys)
	}
}

func TestALargeObjectGoesInPartsAndLeavesNoneWhenCutOff(t *testing.T) {
	const size = 128<<20 + 12_345
	server := miniotest.Start(t)
	server.CreateBucket(t, "bucket")
	config := config(t, server)
	sink := open(t, config, "bucket")
	if err := sink.Put(t.Context(), sinks.Object{Key: "large", Body: zeros(size)}); err != nil {
		t.Fatal(err)
	}
	if info, err := sink.Stat(t.Context(), "large"); err != nil || info.Size != size {
		t.Fatalf("stat: %+v, %v; want %d bytes", info, err, size)
	}
	ctx, cancel := context.WithCancel(t.Context())
	proxy := server.StartProxy(t, 64<<20, cancel)
	config.Endpoint = proxy.Endpoint
	err := open(t, config, "bucket").Put(ctx, sinks.Object{Key: "canceled", Body: zeros(size)})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("put: %v, want %v", err, context.Canceled)
	}
	if left := server.IncompleteUploads(t, "bucket"); len(left) != 0 {
		t.Errorf("incomplete uploads %q", left)
	}
	if _, err := sink.Stat(t.Context(), "canceled"); !errors.Is(err, sinks.ErrNotFound) {
		t.Errorf("stat: %v", err)
	}
	expectEmpty(t, config.SpoolDir)
}
