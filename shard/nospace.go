package shard

import (
	"errors"
	"fmt"
)

// NoSpaceError says where there is no space, and how much there is. errors.Is(err, ErrNoSpace) holds for it.
type NoSpaceError struct {
	Place string // the directory whose disk is full
	Free  int64  // bytes; negative if it could not be told
	Keep  int64  // bytes that must stay free for appends to be taken
	Cause error  // what the disk said, nil if it was not asked for more than may be taken
}

func (e *NoSpaceError) Error() string {
	text := fmt.Sprintf("%v: on the disk of %s %s", ErrNoSpace, e.Place, e.Room())
	if e.Cause != nil {
		text += fmt.Sprintf(" (%v)", e.Cause)
	}
	return text
}

// Unwrap makes errors.Is work for ErrNoSpace and the cause.
func (e *NoSpaceError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrNoSpace}
	}
	return []error{ErrNoSpace, e.Cause}
}

// Room says how much is free and how much must stay so.
func (e *NoSpaceError) Room() string {
	free := "nobody knows how much is"
	if e.Free >= 0 {
		free = mebibytes(e.Free) + " are"
	}
	return fmt.Sprintf("%s free, %s must stay free", free, mebibytes(e.Keep))
}

// Room says for an error that wraps ErrNoSpace how much room there is, without naming a place: it is for those who ask
// from elsewhere.
func Room(err error) string {
	var known *NoSpaceError
	if errors.As(err, &known) {
		return known.Room()
	}
	return "no room for more records"
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
