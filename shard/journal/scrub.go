package journal

import (
	"errors"
	"fmt"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// verify reads a segment from the disk and checks all that can be checked. The system's copy in memory is dropped
// first, or it would be that which is verified, and behind the reading, for which nobody asked.
func (s *scrubber) verify(l *logState, seg segment) error {
	name := s.e.path(seg.key(l.id).name())
	f, err := s.e.opts.FS.Open(name, false)
	if err != nil {
		return missing(err, name)
	}
	defer f.Close()
	_ = f.NoReadahead()   // see readturns.go
	_ = f.DropCache(0, 0) // where it cannot be done, what is in memory is verified
	v := &segmentScrub{s: s, l: l, seg: seg, file: f, name: name, next: seg.base}
	if seg.compressed() {
		err = v.compressed()
	} else {
		err = v.plain()
	}
	_ = f.DropCache(0, 0)
	if err == nil && v.next != seg.end {
		err = &shard.CorruptError{File: name, Offset: seg.diskBytes(), Reason: fmt.Sprintf("offset %d is not there", v.next)}
	}
	return err
}

// segmentScrub is the verification of one segment.
type segmentScrub struct {
	s    *scrubber
	l    *logState
	seg  segment
	file vfs.File
	name string
	next shard.Offset // of the next frame
}

// frame checks a frame whose sums are right.
func (v *segmentScrub) frame(h *frameHeader, _ []byte, _ int64) (bool, error) {
	if v.s.ended {
		return false, errStopped
	}
	if err := v.l.owns(h, v.seg); err != nil {
		return false, err
	}
	if err := v.l.goesOn(h, v.next); err != nil {
		return false, err
	}
	v.next = h.end()
	return true, nil
}

// read takes note of bytes that were read.
func (v *segmentScrub) read(pos, n int64) {
	_ = v.file.DropCache(pos, n) // it only makes room
	v.s.spent(n)
}

func (v *segmentScrub) plain() error {
	scan := frameScan{r: v.file, name: v.name, chunk: chunkBytes, reuse: true, after: v.read}
	if err := scan.run(segmentHeaderBytes, v.seg.bytes, v.frame); err != nil {
		return err
	}
	head := make([]byte, segmentHeaderBytes)
	if n, err := v.file.ReadAt(head, 0); n < len(head) {
		return readError(err, v.name, v.corrupt(0))
	}
	id, base, err := parseSegmentHeader(head)
	if err == nil && (id != v.l.id || base != v.seg.base) {
		err = errors.New("the header is another segment's")
	}
	if err != nil {
		return v.corrupt(0)(err)
	}
	tail, err := readTail(v.file, v.seg.bytes)
	if err != nil || len(tail) == 0 { // sealing a damaged segment leaves no footer
		return err
	}
	if _, err := decodeFooter(tail, v.seg.bytes); err != nil {
		return v.corrupt(v.seg.bytes)(err)
	}
	return nil
}

func (v *segmentScrub) compressed() error {
	head := make([]byte, segmentHeaderBytes)
	if n, err := v.file.ReadAt(head, 0); n < len(head) {
		return readError(err, v.name, v.corrupt(0))
	}
	want := compressedHeader{log: v.l.id, base: v.seg.base, end: v.seg.end, bytes: v.seg.bytes, stored: v.seg.stored}
	h, err := parseCompressedHeader(head)
	want.blocks = h.blocks
	if err == nil && h != want {
		err = errors.New("the header is another segment's")
	}
	if err != nil {
		return v.corrupt(0)(err)
	}
	tail, err := readTail(v.file, v.seg.stored)
	if err != nil {
		return err
	}
	index, err := decodeBlockIndex(tail, v.seg.bytes, v.seg.stored)
	if err != nil {
		return v.corrupt(v.seg.stored)(err)
	}
	for i := range index {
		end := v.seg.stored
		if i+1 < len(index) {
			end = index[i+1].at
		}
		frames, err := readBlock(v.file, v.name, index, i, v.seg.bytes, v.seg.stored)
		if err != nil {
			return err
		}
		v.read(index[i].at, end-index[i].at)
		if _, err := scanBlock(frames, v.name, index[i], index[i].pos, v.frame); err != nil {
			return err
		}
	}
	return nil
}

func (v *segmentScrub) corrupt(at int64) func(error) error {
	return func(reason error) error {
		return &shard.CorruptError{File: v.name, Offset: at, Reason: reason.Error()}
	}
}
