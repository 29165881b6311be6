// Package sinks is the contract of the places where batches end: object stores, directories and, later,
// endpoints that are not stores. Each kind is one package below this one; sinks/sinktest checks what the
// comments here promise.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
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

// OpenCloser is an Opener that holds connections. Close drops those that are idle; it neither waits for Puts
// nor ends them.
type OpenCloser interface {
	Opener
	io.Closer
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
// Object.Key describes. NUL is refused too: neither file systems nor most object stores take it. A sink may
// be stricter.
func CheckKey(key string) error {
	switch {
	case key == "" || len(key) > 1024:
		return Permanent(fmt.Errorf("%w: %d bytes, 1 to 1024 are allowed", ErrInvalidKey, len(key)))
	case !utf8.ValidString(key):
		return Permanent(fmt.Errorf("%w: not UTF-8", ErrInvalidKey))
	case strings.ContainsRune(key, 0):
		return Permanent(fmt.Errorf("%w: a NUL character", ErrInvalidKey))
	}
	return nil
}

// CheckBucket returns an error that wraps ErrInvalidKey and is permanent unless the bucket's name follows
// Amazon S3's rules ("Bucket naming rules"): 3 to 63 characters of a-z, 0-9, '.' and '-', a letter or digit at
// both ends, no two dots in a row, not an IPv4 address. Such a name is also a harmless directory name.
func CheckBucket(bucket string) error {
	invalid := func(rule string) error {
		return Permanent(fmt.Errorf("%w: bucket name %q: %s", ErrInvalidKey, bucket, rule))
	}
	if len(bucket) < 3 || len(bucket) > 63 {
		return invalid("3 to 63 characters are allowed")
	}
	alphanumeric := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	for i := range len(bucket) {
		if c := bucket[i]; !alphanumeric(c) && c != '.' && c != '-' {
			return invalid("only a-z, 0-9, '.' and '-' are allowed")
		}
	}
	if !alphanumeric(bucket[0]) || !alphanumeric(bucket[len(bucket)-1]) {
		return invalid("it must start and end with a letter or a digit")
	}
	if strings.Contains(bucket, "..") {
		return invalid("two dots in a row are not allowed")
	}
	if addr, err := netip.ParseAddr(bucket); err == nil && addr.Is4() {
		return invalid("it must not look like an IP address")
	}
	return nil
}
