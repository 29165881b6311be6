package firehose

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/seed-462d9463/sluice/shard"
)

// readBytes is how much is read from a log at a time, by scans and by uploads.
const readBytes = 1 << 20

var (
	// errTrimmed: records were dropped by their source while they were read.
	errTrimmed = errors.New("records dropped by their source")
	// errMissing: a log has not the records that it had when the intent was made, though none was dropped.
	errMissing = errors.New("records missing from their log")
)

// content is what an object holds: the records of some ranges, as the expander writes them, encoded. It
// reads them from their logs each time it is written, so that memory does not depend on the object's size.
type content struct {
	ctx         context.Context // of the attempt; io.WriterTo has no place for it
	parts       []part
	expander    expander
	compression Compression
	encoders    *encoders

	records, bytes int64 // of the last WriteTo; bytes before compression
}

// part is what is left of a range: from From on.
type part struct {
	input *input // nil when nothing is left
	of    sourceRange
	from  shard.Offset
	whole bool // nothing of the range is lost
}

var _ io.WriterTo = (*content)(nil)

// WriteTo implements io.WriterTo.
func (c *content) WriteTo(w io.Writer) (int64, error) {
	e := c.encoders.get(c.compression)
	defer c.encoders.put(e)
	counted := &countingWriter{w: w}
	e.reset(counted)
	c.records, c.bytes = 0, 0
	for i := range c.parts {
		if err := c.write(e.buffer, &c.parts[i]); err != nil {
			return counted.n, err
		}
	}
	err := e.finish()
	return counted.n, err
}

func (c *content) write(w *bufio.Writer, p *part) error {
	before := c.records
	for at := p.from; at < p.of.To; {
		limit := shard.Limit{Records: int(p.of.To - at), Bytes: readBytes}
		records, err := p.input.log.Read(c.ctx, at, limit)
		if errors.Is(err, shard.ErrNotFound) {
			// The next attempt leaves it out. The goroutine that reads it may be waiting for this very upload.
			p.input.gone.Store(true)
			err = errTrimmed
		}
		if err != nil {
			return fmt.Errorf("read partition %d from %d: %w", p.of.Partition, at, err)
		}
		// Only now: had the log been trimmed past at before the read, it would be known now.
		if first, _ := p.input.log.Bounds(); first > at {
			return fmt.Errorf("read partition %d from %d: %w", p.of.Partition, at, errTrimmed)
		}
		if len(records) == 0 {
			break
		}
		for i := range records {
			if records[i].Offset >= p.of.To {
				break
			}
			n, err := c.expander.write(w, records[i].Value, p.input.keys)
			if err != nil {
				return err
			}
			c.records++
			c.bytes += n
		}
		at = records[len(records)-1].Offset + 1
	}
	if got := c.records - before; p.whole && got != p.of.Records {
		return fmt.Errorf("%w: %d of %d in partition %d from %d to %d", errMissing, got, p.of.Records, p.of.Partition, p.of.From, p.of.To)
	}
	return nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	return n, err
}

// encoders keeps encoders that are not in use, of which a compressing one holds a MiB. At most as many are in
// use as uploads are allowed.
type encoders struct{ idle chan *encoderPair }

// encoderPair is a buffer, so that small records and delimiters come in large writes, before a compressor.
type encoderPair struct {
	buffer *bufio.Writer
	gzip   *gzip.Writer // nil in one that does not compress
}

const encodeBuffer = 64 << 10

func newEncoders(idle int) *encoders { return &encoders{idle: make(chan *encoderPair, idle)} }

func (p *encoders) get(c Compression) *encoderPair {
	if c != GZIP {
		return &encoderPair{buffer: bufio.NewWriterSize(io.Discard, encodeBuffer)}
	}
	select {
	case e := <-p.idle:
		return e
	default:
		return &encoderPair{buffer: bufio.NewWriterSize(io.Discard, encodeBuffer), gzip: gzip.NewWriter(io.Discard)}
	}
}

func (p *encoders) put(e *encoderPair) {
	if e.gzip == nil {
		return
	}
	e.reset(io.Discard) // lets go of the upload
	select {
	case p.idle <- e:
	default:
	}
}

func (e *encoderPair) reset(w io.Writer) {
	if e.gzip == nil {
		e.buffer.Reset(w)
		return
	}
	e.gzip.Reset(w)
	e.buffer.Reset(e.gzip)
}

func (e *encoderPair) finish() error {
	if err := e.buffer.Flush(); err != nil {
		return err
	}
	if e.gzip == nil {
		return nil
	}
	return e.gzip.Close()
}
