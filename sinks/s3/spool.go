package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed-462d9463/sluice/sinks"
)

// Spool files have names of this form, by which leftovers of a process that died are known.
const spoolPattern = "sluice-s3-*.spool"

// spool holds the content of objects while it is uploaded: it has to be read again when the bucket had to be
// created first, and its size has to be known before.
type spool struct{ dir string }

var spoolBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, SpoolMemory)
	return &b
}}

// newSpool makes sure that the directory is there and writable, and removes leftovers from it.
func newSpool(dir string) (*spool, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("spool directory: %w", err)
	}
	// A file is unlinked as soon as it is open, so there are leftovers only from a process that died in
	// between. Another process's file, in that moment, loses its name a little early, which harms nothing.
	leftovers, err := filepath.Glob(filepath.Join(dir, spoolPattern))
	if err != nil {
		return nil, fmt.Errorf("spool directory %q: %w", dir, err)
	}
	for _, name := range leftovers {
		_ = os.Remove(name) // somebody else's in a shared directory: not ours to remove
	}
	s := &spool{dir: dir}
	f, err := s.file()
	if err != nil {
		return nil, err
	}
	return s, f.Close()
}

// file opens a new file that has no name any more: it goes away with the process, whatever happens to it.
func (s *spool) file() (*os.File, error) {
	f, err := os.CreateTemp(s.dir, spoolPattern)
	if err != nil {
		return nil, fmt.Errorf("spool file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
		_ = f.Close()
		return nil, fmt.Errorf("spool file: %w", err)
	}
	return f, nil
}

// fill takes the content of a body. The payload has to be closed.
func (s *spool) fill(ctx context.Context, body io.WriterTo) (*payload, error) {
	p := &payload{spool: s, buffer: spoolBuffers.Get().(*[]byte)}
	if _, err := sinks.CopyBody(ctx, p, body); err != nil {
		p.close()
		return nil, err
	}
	if p.file != nil {
		if err := p.flush(); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// payload is the content of one object: in memory if file is nil, else in the file. It is written first, then
// read, as often as needed.
//
// Reading is guarded by a lock because net/http may still read a request's body after the response has come or
// the request was given up. Close makes such late reads fail, and does not return while one is under way, so
// that the buffer can serve the next object.
type payload struct {
	spool *spool

	mu       sync.Mutex
	buffer   *[]byte // nil when closed
	file     *os.File
	size     int64
	progress func() // called when something is read; nil while nobody wants to know
}

var errPayloadClosed = errors.New("the upload has ended")

// Write gathers the content, in the file as soon as it does not fit into the buffer.
func (p *payload) Write(data []byte) (int, error) {
	written := 0
	for len(data) > 0 {
		if len(*p.buffer) == cap(*p.buffer) {
			if err := p.flush(); err != nil {
				return written, err
			}
		}
		n := min(len(data), cap(*p.buffer)-len(*p.buffer))
		*p.buffer = append(*p.buffer, data[:n]...)
		data = data[n:]
		written += n
		p.size += int64(n)
	}
	return written, nil
}

// flush moves the buffer's content to the end of the file.
func (p *payload) flush() (err error) {
	if p.file == nil {
		if p.file, err = p.spool.file(); err != nil {
			return err
		}
	}
	if _, err := p.file.Write(*p.buffer); err != nil {
		return fmt.Errorf("spool an object of more than %d MiB to %s: %w", SpoolMemory>>20, p.spool.dir, err)
	}
	*p.buffer = (*p.buffer)[:0]
	return nil
}

// ReadAt implements io.ReaderAt for the upload.
func (p *payload) ReadAt(b []byte, offset int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.buffer == nil {
		return 0, errPayloadClosed
	}
	if p.progress != nil {
		p.progress()
	}
	if p.file != nil {
		return p.file.ReadAt(b, offset)
	}
	if offset >= p.size {
		return 0, io.EOF
	}
	n := copy(b, (*p.buffer)[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// observe has f called, under the payload's lock, at each read from now on.
func (p *payload) observe(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress = f
}

// close releases the buffer and the file.
func (p *payload) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		_ = p.file.Close() // only ever read again through this payload
	}
	*p.buffer = (*p.buffer)[:0]
	spoolBuffers.Put(p.buffer)
	p.buffer = nil
}
