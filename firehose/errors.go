package firehose

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: there is no delivery stream of this name.
	ErrNotFound = errors.New("delivery stream not found")
	// ErrExists: a delivery stream of this name is there already.
	ErrExists = errors.New("delivery stream exists")
	// ErrInUse: the delivery stream is just being created or deleted.
	ErrInUse = errors.New("delivery stream is being created or deleted")
	// ErrInvalidSource: records were put to a delivery stream that takes them from a data stream.
	ErrInvalidSource = errors.New("delivery stream does not take direct puts")
	// ErrSourceNotFound: the data stream that a delivery stream reads is not there. Sources wraps it.
	ErrSourceNotFound = errors.New("source stream not found")
	// ErrClosed: the service was closed.
	ErrClosed = errors.New("firehose closed")
)

// InvalidError says that one value of a definition or a request breaks a rule.
type InvalidError struct {
	Field  string // in AWS's words, "BufferingHints.SizeInMBs"
	Reason string
}

func (e *InvalidError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Reason) }

// UnsupportedError says that a definition asks for something that AWS has and Sluice has not. Nothing is
// accepted that would then be ignored.
type UnsupportedError struct {
	Feature string // "the processor Lambda"
}

func (e *UnsupportedError) Error() string { return e.Feature + " is not supported" }

// RecordTooLargeError says which record of a Put is over MaxRecordBytes.
type RecordTooLargeError struct {
	Index int
	Bytes int
}

func (e *RecordTooLargeError) Error() string {
	return fmt.Sprintf("record %d has %d bytes, at most %d are allowed", e.Index, e.Bytes, MaxRecordBytes)
}

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}
