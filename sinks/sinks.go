// Package sinks is the contract of the places where batches end: object stores, directories and, later,
// endpoints that are not stores. Each kind is one package below this one; sinks/sinktest checks what the
// comments here promise.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Object is one batch on its way into a bucket.
type Object struct {
	// Key names the object in its bucket: 1 to 1,024 bytes of UTF-8, '/' between its parts, as in S3.
	Key string

	// Body writes the content. A sink may call WriteTo more than once, one call at a time, and gets the same
	// bytes each time. An error from it ends the Put and is returned, wrapped.
	Body io.WriterTo

	// ContentType is a media type; empty means application/octet-stream.
	ContentType string
}

// Info is what a sink knows of an object that is there.
type Info struct {
	Size     int64
	Modified time.Time
}

// Sink stores objects in one bucket. Its methods may be called concurrently.
type Sink interface {
	// Put stores the object under its key. When it returns nil the whole object is durable and visible.
	// Otherwise nothing of it is visible, or, if the answer was lost on the way, all of it. An object that is
	// there under the same key is replaced as a whole: a reader sees the old or the new one, never a mixture.
	// Memory does not grow with the object's size.
	Put(ctx context.Context, object Object) error

	// Stat tells whether an object is there. ErrNotFound if it is not.
	Stat(ctx context.Context, key string) (Info, error)
}

// Opener gives the sink of a bucket by the bucket's name. Opening does no I/O that can fail for a while: what
// is wrong with a bucket that may mend (it is away, or not there yet) is told by Put.
type Opener interface {
	Open(bucket string) (Sink, error)
}

// ErrNotFound: there is no object under this key.
var ErrNotFound = errors.New("object not found")

// ErrInvalidKey: the key, or the bucket's name, cannot be stored by this sink.
var ErrInvalidKey = errors.New("invalid object key")

// PermanentError marks an error that will not go away by trying again: denied access, a bucket that is not
// there, a key that the store does not take. Someone has to change something first.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }
func (e *PermanentError) Unwrap() error { return e.Err }

// Permanent marks err as permanent.
func Permanent(err error) error { return &PermanentError{Err: err} }

// IsPermanent reports whether err, or one that it wraps, was marked by Permanent.
func IsPermanent(err error) bool {
	var p *PermanentError
	return errors.As(err, &p)
}

// CheckKey returns an error that wraps ErrInvalidKey and is permanent unless key has the form that
// Object.Key describes.
func CheckKey(key string) error {
	if key == "" || len(key) > 1024 {
		return Permanent(fmt.Errorf("%w: %d bytes, 1 to 1024 are allowed", ErrInvalidKey, len(key)))
	}
	return nil
}
