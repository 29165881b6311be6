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

// readBytes is how much is read from a log at a time.
const readBytes = 1 << 20

// encodeBytes is the same for uploads: what is read should still be in the processor's cache when it is encoded.
const encodeBytes = 256 << 10

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
	e, err := c.encoders.get(c.ctx)
	if err != nil {
		return 0, fmt.Errorf("wait for an encoder: %w", err)
	}
	defer c.encoders.put(e)
	counted := &countingWriter{w: w}
	e.reset(counted, c.compression == GZIP)
	c.records, c.bytes = 0, 0
	for i := range c.parts {
		if err := c.write(e, &c.parts[i]); err != nil {
			return counted.n, err
		}
	}
	err = e.finish()
	return counted.n, err
}

func (c *content) write(e *objectEncoder, p *part) error {
	before := c.records
	for at := p.from; at < p.of.To; {
		limit := shard.Limit{Records: int(p.of.To - at), Bytes: encodeBytes}
		records, err := shard.ReadInto(c.ctx, p.input.log, at, limit, &e.scratch)
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
			n, err := c.expander.write(e.buffer, records[i].Value, p.input.keys)
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

// encoders are as many as there are processors: more at a time would only push each other's tables, of which a compressing
// one has most of a MiB, out of the processors' caches. So uploads may wait for one while others wait for their bucket. Who
// has one should not wait for anything but disks.
type encoders struct {
	idle chan *objectEncoder // nil for those that have not been made yet
}

// objectEncoder is a buffer, so that small records and delimiters come in larger writes, before a compressor. It is small enough
// to stay in a processor's nearest cache; longer records pass it by.
type objectEncoder struct {
	buffer  *bufio.Writer
	gzip    *gzip.Writer  // nil until it is needed
	closer  io.Closer     // the compressor, if there is one in use
	scratch shard.Scratch // for reads
}

const (
	encodeBuffer = 8 << 10

	// What an encoder that is idle keeps for reads, at most.
	keptMemory  = 2 << 20
	keptRecords = 16 << 10
)

func newEncoders(n int) *encoders {
	p := &encoders{idle: make(chan *objectEncoder, n)}
	for range n {
		p.idle <- nil
	}
	return p
}

// get waits for an encoder, to be put back.
func (p *encoders) get(ctx context.Context) (*objectEncoder, error) {
	select {
	case e := <-p.idle:
		if e == nil {
			e = &objectEncoder{buffer: bufio.NewWriterSize(io.Discard, encodeBuffer)}
		}
		return e, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *encoders) put(e *objectEncoder) {
	e.reset(io.Discard, e.closer != nil) // lets go of the upload
	e.scratch.Release(keptMemory, keptRecords)
	p.idle <- e
}

func (e *objectEncoder) reset(w io.Writer, compress bool) {
	e.closer = nil
	if compress {
		if e.gzip == nil {
			e.gzip = gzip.NewWriter(w)
		}
		e.gzip.Reset(w)
		e.closer = e.gzip
		w = e.gzip
	}
	e.buffer.Reset(w)
}

func (e *objectEncoder) finish() error {
	if err := e.buffer.Flush(); err != nil || e.closer == nil {
		return err
	}
	return e.closer.Close()
}
