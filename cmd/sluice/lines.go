package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Bounds of a batch of lines. A request may have 500 records and 10 MiB, partition keys of up to 256 characters
// included; a batch ends with the line that makes it as large as batchBytes.
const (
	batchLines   = 500
	batchBytes   = 4 << 20
	requestBytes = 10<<20 - batchLines*1024
)

// lineReader cuts an input into lines. A line is a record: its bytes are untouched, only the line feed that
// ends it is taken off; an empty line is an empty record, and a last line without a line feed is one too.
type lineReader struct {
	input  *bufio.Reader
	name   string // of the input, for messages
	limit  int    // bytes that a line may have
	enough int    // bytes that make a batch full
	number int64  // of the line read last, from 1
	eager  bool   // reading never waits, so that a batch may be filled
}

func newLineReader(input io.Reader, name string, limit int) *lineReader {
	l := &lineReader{input: bufio.NewReaderSize(input, 256<<10), name: name}
	l.limitTo(limit)
	return l
}

// limitTo bounds the bytes of a line.
func (l *lineReader) limitTo(limit int) {
	l.limit = limit
	// Whatever the last line adds, the batch fits into one request.
	l.enough = max(1, min(batchBytes, requestBytes-limit))
}

// openLines opens a file, or standard input for "-".
func openLines(path string, stdin io.Reader, limit int) (*lineReader, io.Closer, error) {
	if path == "-" {
		return newLineReader(stdin, "standard input", limit), io.NopCloser(nil), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the input: %w", err)
	}
	l := newLineReader(f, path, limit)
	if info, err := f.Stat(); err == nil {
		if info.IsDir() {
			_ = f.Close()
			return nil, nil, fmt.Errorf("cannot read the input: %s is a directory", path)
		}
		l.eager = info.Mode().IsRegular()
	}
	return l, f, nil
}

// longLineError says that a line is no record. The lines after it can still be read.
type longLineError struct {
	name   string
	number int64
	limit  int
}

func (e *longLineError) Error() string {
	return fmt.Sprintf("line %d of %s is longer than a record may be (%d bytes)", e.number, e.name, e.limit)
}

// next returns the next line, in memory of its own, or io.EOF.
func (l *lineReader) next() ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := l.input.ReadSlice('\n')
		if len(part) > 0 {
			if line == nil && !long {
				l.number++
			}
			ended := part[len(part)-1] == '\n'
			if ended {
				part = part[:len(part)-1]
			}
			// Of a line that is too long nothing is kept, so that it cannot fill the memory.
			if long = long || len(line)+len(part) > l.limit; long {
				line = nil
			} else {
				line = append(growLine(line, len(part)), part...)
			}
			if ended {
				return l.finish(line, long)
			}
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (line != nil || long):
			return l.finish(line, long)
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		default:
			return nil, fmt.Errorf("read line %d of %s: %w", l.number+1, l.name, err)
		}
	}
}

func (l *lineReader) finish(line []byte, long bool) ([]byte, error) {
	if long {
		return nil, &longLineError{l.name, l.number, l.limit}
	}
	return line, nil
}

// growLine makes an empty line not nil: nil means that no line has begun.
func growLine(line []byte, n int) []byte {
	if line == nil {
		return make([]byte, 0, n)
	}
	return line
}

// batch is consecutive lines of an input.
type batch struct {
	lines [][]byte
	first int64 // number of the first line
	bytes int
}

// nextBatch returns lines up to the bounds of a batch. When lines come slowly it returns those that are there
// instead of waiting for more. With lines there may be an error too: it comes after them.
func (l *lineReader) nextBatch() (batch, error) {
	b := batch{first: l.number + 1}
	for {
		line, err := l.next()
		if err != nil {
			return b, err
		}
		b.lines = append(b.lines, line)
		b.bytes += len(line)
		if len(b.lines) == batchLines || b.bytes >= l.enough || !l.eager && !l.buffered() {
			return b, nil
		}
	}
}

// buffered reports whether a whole line is at hand.
func (l *lineReader) buffered() bool {
	waiting, _ := l.input.Peek(l.input.Buffered())
	return bytes.IndexByte(waiting, '\n') >= 0
}
