package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Dump prints a journal file, the marks, a segment, a snapshot, or all files of a data directory, for people. It only reads,
// takes no lock, and goes on behind damage, which it names: what is printed of a directory in use may be torn.
// An error means that something could not be read or written at all.
func Dump(fsys vfs.FS, name string, w io.Writer) error {
	out := bufio.NewWriter(w)
	d := dumper{fs: fsys, w: out}
	return errors.Join(d.path(name), out.Flush())
}

type dumper struct {
	fs vfs.FS
	w  io.Writer
}

func (d dumper) printf(format string, args ...any) { fmt.Fprintf(d.w, format, args...) }

func (d dumper) path(name string) error {
	info, err := d.fs.Stat(name)
	if err != nil {
		return err
	}
	if info.Dir {
		return d.dir(name)
	}
	return d.file(name, info.Size)
}

// dir prints the files of a data directory, or of one of its directories, in a fixed order.
func (d dumper) dir(dir string) error {
	names, err := d.fs.List(dir)
	if err != nil {
		return err
	}
	if base := path.Base(dir); base != journalDir && base != metaDir && path.Base(path.Dir(dir)) != shardsDir && base != shardsDir {
		if _, err := d.fs.Stat(path.Join(dir, formatName)); err != nil {
			return fmt.Errorf("%s is no data directory: %w", dir, err)
		}
		names = []string{formatName, scrubName, metaDir, journalDir, shardsDir}
	}
	for _, name := range names {
		err := d.path(path.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // removed while we looked
			return err
		}
	}
	return nil
}

func (d dumper) file(name string, size int64) error {
	f, err := d.fs.Open(name, false)
	if err != nil {
		return err
	}
	defer f.Close()
	d.printf("== %s (%d bytes)\n", name, size)
	start := make([]byte, min(size, blockBytes))
	if n, err := f.ReadAt(start, 0); n < len(start) {
		return err
	}
	magic := uint32(0)
	if len(start) >= 4 {
		magic = binary.LittleEndian.Uint32(start)
	}
	switch {
	case magic == snapshotMagic:
		return d.snapshot(name)
	case magic == segmentMagic:
		return d.segment(f, name, size, start)
	case magic == compressedMagic:
		return d.compressed(f, name, size, start)
	case magic == scrubMagic:
		d.scrub(start)
		return nil
	case strings.HasPrefix(string(start), "sluice-journal "):
		d.printf("%s", start)
		return nil
	case magic == markMagic:
		return d.marks(f)
	case magic == batchMagic || strings.HasSuffix(name, ".j"):
		return d.journal(f, size)
	}
	d.printf("neither a journal file nor a mark, a segment or a snapshot\n")
	return nil
}

func (d dumper) marks(f vfs.File) error {
	for slot := range int64(2) {
		b := make([]byte, markBytes)
		if _, err := f.ReadAt(b, slot*markSlotBytes); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		m, err := decodeMark(b)
		if err != nil {
			d.printf("byte %d: %v\n", slot*markSlotBytes, err)
			continue
		}
		d.printf("byte %d: mark %d, journal %016x, durable to LSN %d, snapshot %d\n", slot*markSlotBytes, m.sequence, m.journal, m.durable, m.snapshot)
	}
	return nil
}

func (d dumper) snapshot(name string) error {
	b, err := readFile(d.fs, name, 4<<30)
	if err != nil {
		return err
	}
	s, err := decodeSnapshot(b)
	if err != nil {
		d.printf("damaged: %v\n", err)
		return nil
	}
	d.printf("snapshot: journal %016x, epoch %d, generation %d, needed from LSN %d, durable to LSN %d, %d journal files, next topic %d, next log %d\n",
		s.journal, s.epoch, s.generation, s.checkpoint, s.durable, s.journalFiles, s.nextTopic, s.nextLog)
	for _, t := range s.topics {
		d.printf("topic %d %q\n", t.id, t.name)
		for i, l := range t.logs {
			d.printf("  partition %d: log %d, first offset %d, in segments to %d, newest %s\n", i, l.id, l.first, l.flushed, stamp(l.lastMillis))
			for _, g := range l.segments {
				state := []string{"active", "sealed", "sealed, does not shrink"}[g.state()%3]
				if g.compressed() {
					state = fmt.Sprintf("compressed to %d bytes", g.stored)
				}
				d.printf("    segment %d to %d, %d bytes, %s to %s, %s\n", g.base, g.end, g.bytes, stamp(g.firstMillis), stamp(g.lastMillis), state)
			}
		}
	}
	return nil
}

func (d dumper) journal(r io.ReaderAt, size int64) error {
	expect := int64(0)
	n := 0
	err := scanBatches(r, size, 0, func(h *batchHeader, pos int64, b []byte) error {
		if pos != expect {
			d.printf("@%d: %d bytes without a valid batch\n", expect, pos-expect)
		}
		expect = pos + h.padded()
		n++
		d.printf("@%d batch: LSN %d to %d, generation %d, epoch %d, durable before %d, %d frames, %d bytes\n",
			pos, h.at, h.end(), h.generation, h.epoch, h.durable, h.frames, h.length)
		if err := eachFrame(h, b, func(fh frameHeader, frame []byte) error {
			d.frame(&fh, frame)
			return nil
		}); err != nil {
			d.printf("  damaged: %v\n", err)
		}
		return nil
	})
	if rest := size - expect; err == nil && rest > 0 {
		d.printf("@%d: %d bytes without a valid batch\n", expect, rest)
	}
	d.printf("%d batches\n", n)
	return err
}

func (d dumper) segment(f vfs.File, name string, size int64, start []byte) error {
	id, base, err := parseSegmentHeader(start)
	if err != nil {
		d.printf("damaged: %v\n", err)
		return nil
	}
	d.printf("segment of log %d from offset %d\n", id, base)
	end := int64(segmentHeaderBytes)
	err = scanFrames(f, name, segmentHeaderBytes, size, chunkBytes, func(h *frameHeader, frame []byte, pos int64) (bool, error) {
		d.printf("@%d ", pos)
		d.frame(h, frame)
		end = pos + h.length
		return true, nil
	})
	var damaged *shard.CorruptError
	if err != nil && !errors.As(err, &damaged) {
		return err
	}
	if tail := size - end; tail > 0 && tail <= 64<<20 {
		b := make([]byte, tail)
		if _, err := f.ReadAt(b, end); err != nil {
			return err
		}
		index, err := decodeFooter(b, end)
		if err != nil {
			d.printf("@%d: %d bytes that are neither a frame nor an index\n", end, tail)
			return nil
		}
		d.printf("@%d index with %d entries\n", end, len(index))
		for _, en := range index {
			d.printf("  offset %d, %s, at byte %d\n", en.base, stamp(en.millis), en.pos)
		}
	}
	return nil
}

// damage prints what is damaged, and returns other errors.
func (d dumper) damage(err error) error {
	var damaged *shard.CorruptError
	if errors.As(err, &damaged) {
		d.printf("@%d damaged: %s\n", damaged.Offset, damaged.Reason)
		return nil
	}
	return err
}

// compressed prints a compressed segment by its blocks.
func (d dumper) compressed(f vfs.File, name string, size int64, start []byte) error {
	h, err := parseCompressedHeader(start)
	if err != nil {
		d.printf("damaged: %v\n", err)
		return nil
	}
	d.printf("compressed segment of log %d, offsets %d to %d, %d blocks, %d bytes for %d\n", h.log, h.base, h.end, h.blocks, h.stored, h.bytes)
	index, walkErr := buildBlockIndex(f, name, h.bytes, h.stored)
	for i := range index {
		frames, err := readBlock(f, name, index, i, h.bytes, h.stored)
		if err == nil {
			d.printf("@%d block of %d bytes\n", index[i].at, len(frames))
			_, err = scanBlock(frames, name, index[i], index[i].pos, func(h *frameHeader, frame []byte, pos int64) (bool, error) {
				d.printf("(%d) ", pos)
				d.frame(h, frame)
				return true, nil
			})
		}
		if err := d.damage(err); err != nil {
			return err
		}
	}
	if err := d.damage(walkErr); err != nil {
		return err
	}
	tail, err := readTail(f, h.stored)
	if err != nil {
		return err
	}
	if footer, err := decodeBlockIndex(tail, h.bytes, h.stored); err != nil {
		d.printf("@%d: %d bytes that are no index of the blocks\n", h.stored, size-h.stored)
	} else {
		d.printf("@%d index with %d entries\n", h.stored, len(footer))
	}
	return nil
}

func (d dumper) scrub(b []byte) {
	s, err := decodeScrubState(b)
	if err != nil {
		d.printf("damaged: %v\n", err)
		return
	}
	if p := s.last; !p.begun.IsZero() {
		d.printf("last scrub: %s to %s, %d segments, %d damaged\n", stamp(p.begun.UnixMilli()), stamp(s.end.UnixMilli()), p.segments, p.damaged)
	}
	if p := s.pass; !p.begun.IsZero() {
		d.printf("this scrub: since %s, %d segments, %d damaged, goes on with log %d at offset %d\n",
			stamp(p.begun.UnixMilli()), p.segments, p.damaged, s.log, s.base)
	}
}

func stamp(millis int64) string {
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}

func (d dumper) frame(h *frameHeader, frame []byte) {
	if h.kind == frameControl {
		d.change(h, frame[frameHeaderBytes:])
		return
	}
	d.printf("frame: log %d, offsets %d to %d, %s, epoch %d, %d bytes\n", h.log, h.base, h.end(), stamp(h.millis), h.epoch, h.length)
	c := newCollector(shard.Limit{})
	err := c.add(h, frame, h.base)
	for _, r := range c.out {
		d.printf("  %d key %s", r.Offset, preview(r.Key))
		for _, header := range r.Headers {
			d.printf(" %q=%s", header.Name, preview(header.Value))
		}
		d.printf(" value %s\n", preview(r.Value))
	}
	if err != nil {
		d.printf("  damaged: %v\n", err)
	}
}

func (d dumper) change(h *frameHeader, payload []byte) {
	c, err := decodeChange(h, payload, func(id uint64) *logState { return &logState{id: id} })
	switch c := c.(type) {
	case createChange:
		d.printf("change: create topic %d %q, partitions %d to %d as logs %d to %d\n",
			c.topic, c.name, c.first, c.first+c.count, c.firstLog, c.firstLog+c.count)
	case deleteChange:
		d.printf("change: delete topic %d\n", c.topic)
	case trimChange:
		d.printf("change: trim log %d before offset %d\n", h.log, c.before)
	default:
		d.printf("change: damaged: %v\n", err)
	}
}

// preview shows the beginning of what may be long, or no text.
func preview(b []byte) string {
	const most = 80
	if len(b) <= most {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q… (%d bytes)", b[:most], len(b))
}
