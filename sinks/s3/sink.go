package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/seed-462d9463/sluice/sinks"
)

// An object of up to singlePutBytes is one request: the store takes it as a whole or not at all, and has no
// parts to clean up. Larger ones go in parts, uploadThreads at once, read from the spool file piece by piece.
const (
	singlePutBytes = 128 << 20
	uploadThreads  = 2
)

// sink stores objects in one bucket.
type sink struct {
	opener *Opener
	bucket string
}

func (s *sink) Put(ctx context.Context, object sinks.Object) error {
	if err := s.put(ctx, object); err != nil {
		return fmt.Errorf("put object %q into bucket %q at %s: %w", object.Key, s.bucket, s.opener.endpoint, err)
	}
	return nil
}

func (s *sink) put(ctx context.Context, object sinks.Object) error {
	if err := checkKey(object.Key, s.opener.amazon); err != nil {
		return err
	}
	content, err := s.opener.spool.fill(ctx, object.Body)
	if err != nil {
		return err
	}
	defer content.close()
	err = s.upload(ctx, object, content)
	if s.opener.create && isCode(err, codeNoSuchBucket) {
		if err := s.createBucket(ctx); err != nil {
			return fmt.Errorf("create the bucket: %w", err)
		}
		err = s.upload(ctx, object, content)
	}
	return err
}

func (s *sink) upload(ctx context.Context, object sinks.Object, content *payload) error {
	ctx, w := watch(ctx, s.opener.timeout)
	defer w.stop()
	content.observe(w.progress)
	defer content.observe(nil)
	_, err := s.opener.client.PutObject(ctx, s.bucket, object.Key,
		io.NewSectionReader(content, 0, content.size), content.size,
		minio.PutObjectOptions{
			ContentType: object.ContentType,
			// A checksum that every store checks, and that buckets with object lock insist on. Parts have
			// none: with it, the client would hold each of them in memory.
			SendContentMd5:   content.size <= singlePutBytes,
			DisableMultipart: content.size <= singlePutBytes,
			NumThreads:       uploadThreads,
		})
	return classify(ctx, err)
}

func (s *sink) createBucket(ctx context.Context) error {
	ctx, w := watch(ctx, s.opener.timeout)
	defer w.stop()
	err := s.opener.client.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.opener.region})
	if isCode(err, "BucketAlreadyOwnedByYou") || isCode(err, "BucketAlreadyExists") {
		return nil // someone was quicker; if it is not ours, the upload says so
	}
	return classify(ctx, err)
}

func (s *sink) Stat(ctx context.Context, key string) (sinks.Info, error) {
	info, err := s.stat(ctx, key)
	if err != nil {
		return sinks.Info{}, fmt.Errorf("look for object %q in bucket %q at %s: %w", key, s.bucket, s.opener.endpoint, err)
	}
	return info, nil
}

func (s *sink) stat(ctx context.Context, key string) (sinks.Info, error) {
	if err := checkKey(key, s.opener.amazon); err != nil {
		return sinks.Info{}, err
	}
	ctx, w := watch(ctx, s.opener.timeout)
	defer w.stop()
	info, err := s.opener.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if isCode(err, codeNoSuchKey) || isCode(err, codeNoSuchBucket) {
		return sinks.Info{}, sinks.ErrNotFound
	}
	if err != nil {
		return sinks.Info{}, classify(ctx, err)
	}
	return sinks.Info{Size: info.Size, Modified: info.LastModified}, nil
}

// watchdog ends a context when nothing has moved for a while.
type watchdog struct {
	timer   *time.Timer
	timeout time.Duration
	cancel  context.CancelCauseFunc
}

var errStalled = errors.New("the object store neither takes bytes nor answers")

func watch(ctx context.Context, timeout time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(timeout, func() { cancel(fmt.Errorf("%w for %s", errStalled, timeout)) })
	return ctx, &watchdog{timer: timer, timeout: timeout, cancel: cancel}
}

// progress gives the work another while.
func (w *watchdog) progress() { w.timer.Reset(w.timeout) }

// stop ends the context and all that still runs under it. Progress that is told later does no harm: the timer
// then ends a context that has ended.
func (w *watchdog) stop() {
	w.cancel(nil)
	w.timer.Stop()
}
