package journal

import (
	"errors"
	"fmt"
	"path"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

var (
	// errStopped: the engine ends, or cannot spare the disk.
	errStopped = errors.New("stopped")
	// errGone: the segment was trimmed or deleted in the meantime.
	errGone = errors.New("the segment is gone")
	// errDense ends the compressing of what does not shrink.
	errDense = errors.New("does not shrink")
)

const (
	// sliceBytes is what is packed between two pauses.
	sliceBytes = 512 << 10
	// enoughToTell is how much of a segment is packed before it is given up for not shrinking.
	enoughToTell = 2 << 20
)

// segmentPacker writes one compressed file.
type segmentPacker struct {
	c    *compressor
	l    *logState
	seg  segment
	file vfs.File

	block []byte      // frames of the next block
	head  blockHeader // its place
	out   []byte      // blocks to be written
	at    int64       // where they will be
	index []indexEntry

	next shard.Offset // of the next frame
}

// compress makes the compressed file of a segment, durable under its name, and returns its length up to its index; 0
// if the plain one should stay: because it does not shrink, or cannot be read, which is logged.
func (c *compressor) compress(l *logState, seg segment) (stored int64, err error) {
	fsys := c.e.opts.FS
	final := c.e.path(compressedName(l.id, seg.base))
	if free, err := fsys.Free(c.e.opts.Dir); err == nil && free < c.e.opts.MinFreeBytes+seg.bytes {
		return 0, errFull{fmt.Errorf("%d bytes are free", free)}
	}
	var from *openFile
	err = c.e.patiently(tooManyFiles, func() error {
		from, err = l.acquire(seg)
		return err
	})
	if err != nil {
		return 0, c.unreadable(l, seg, err)
	}
	defer c.e.files.release(from)
	p := &segmentPacker{c: c, l: l, seg: seg, at: segmentHeaderBytes, next: seg.base}
	tmp := final + tmpSuffix
	if err := removeIfThere(fsys, tmp); err != nil {
		return 0, err
	}
	if p.file, err = fsys.Create(tmp); err != nil {
		return 0, fmt.Errorf("make compressed segment: %w", fullIfNoSpace(err))
	}
	unreadable, err := p.run(from)
	if unreadable == nil && err == nil {
		err = p.finish()
	}
	err = errors.Join(err, p.file.Close())
	if unreadable == nil && err == nil {
		err = fullIfNoSpace(fsys.Rename(tmp, final))
	}
	if unreadable != nil || err != nil {
		if err := removeIfThere(fsys, tmp); err != nil {
			return 0, err
		}
		if unreadable != nil && err == nil {
			return 0, c.unreadable(l, seg, unreadable)
		}
		return 0, err
	}
	c.e.naming <- struct{}{}
	defer func() { <-c.e.naming }()
	if err := fsys.SyncDir(path.Dir(final)); err != nil {
		c.e.fail(err) // before the next sync, which could report success for names that this one has lost
		return 0, err
	}
	return p.at, nil
}

// unreadable lets a segment that cannot be read stay as it is: it is no reason to end the engine, and whoever reads
// those records is told.
func (c *compressor) unreadable(l *logState, seg segment, err error) error {
	if l.movedOn(err, seg, seg.end-1) {
		return errGone
	}
	c.e.opts.Logger.Error("a segment cannot be compressed, because it cannot be read", "file", c.e.path(seg.key(l.id).name()), "error", err)
	return nil
}

// run packs the frames of a segment. A segment that cannot be read is told from other errors.
func (p *segmentPacker) run(from *openFile) (unreadable, err error) {
	scan := frameScan{r: from, name: from.name, chunk: chunkBytes, reuse: true}
	scanErr := scan.run(segmentHeaderBytes, p.seg.bytes, func(h *frameHeader, frame []byte, pos int64) (bool, error) {
		if err := p.l.owns(h, p.seg); err != nil {
			return false, err
		}
		if err := p.l.goesOn(h, p.next); err != nil {
			return false, err
		}
		p.next = h.end()
		err = p.add(h, frame, pos)
		return err == nil, nil
	})
	switch {
	case err != nil:
		return nil, err
	case scanErr != nil:
		return scanErr, nil
	case p.next != p.seg.end:
		return &shard.CorruptError{File: from.name, Offset: p.seg.bytes, Reason: fmt.Sprintf("offset %d is not there", p.next)}, nil
	}
	return nil, p.packBlock()
}

// add takes in a frame.
func (p *segmentPacker) add(h *frameHeader, frame []byte, pos int64) error {
	if len(p.block) > 0 && len(p.block)+len(frame) > targetBlockBytes {
		if err := p.packBlock(); err != nil {
			return err
		}
	}
	if len(p.block) == 0 {
		p.head = blockHeader{pos: pos, base: h.base, millis: h.millis}
	}
	p.block = append(p.block, frame...)
	return nil
}

// packBlock completes a block.
func (p *segmentPacker) packBlock() error {
	p.index = append(p.index, p.head.index(p.at+int64(len(p.out))))
	var err error
	if p.out, err = appendBlock(p.out, p.c.encoder, p.head, p.block); err != nil {
		return err
	}
	p.c.done += int64(len(p.block))
	packed := p.head.pos + int64(len(p.block))
	p.block = p.block[:0]
	if p.c.done < sliceBytes {
		return nil
	}
	if err := p.write(); err != nil {
		return err
	}
	if packed >= enoughToTell && p.at*100 > packed*worthwhile {
		return errDense
	}
	if !p.c.rest() {
		return errStopped
	}
	p.l.mu.Lock()
	gone := p.l.gone || p.l.first >= p.seg.end
	p.l.mu.Unlock()
	if gone {
		return errGone
	}
	return nil
}

// write writes the blocks that are ready.
func (p *segmentPacker) write() error {
	n := int64(len(p.out))
	if n == 0 {
		return nil
	}
	err := p.file.Preallocate(p.at, n)
	if err == nil {
		_, err = p.file.WriteAt(p.out, p.at)
	}
	if err == nil {
		err = p.file.StartWriteback(p.at, n)
	}
	if err != nil {
		return fmt.Errorf("write compressed segment: %w", fullIfNoSpace(err))
	}
	p.at += n
	p.out = p.out[:0]
	return nil
}

// finish writes the index and the header, and makes the file durable.
func (p *segmentPacker) finish() error {
	if err := p.write(); err != nil {
		return err
	}
	if p.at*100 > p.seg.bytes*worthwhile {
		return errDense
	}
	h := compressedHeader{log: p.l.id, base: p.seg.base, end: p.seg.end, bytes: p.seg.bytes, stored: p.at, blocks: int64(len(p.index))}
	footer := encodeBlockIndex(p.index)
	_, err := p.file.WriteAt(footer, p.at)
	if err == nil {
		_, err = p.file.WriteAt(h.encode(), 0)
	}
	if err == nil {
		err = p.file.Truncate(p.at + int64(len(footer))) // gives back what was preallocated
	}
	if err == nil {
		err = p.file.Datasync()
	}
	if err != nil {
		return fmt.Errorf("write compressed segment: %w", fullIfNoSpace(err))
	}
	return nil
}
