package journal

import (
	"container/list"
	"errors"
	"io"
	"sort"
	"sync"

	"github.com/seed-462d9463/sluice/shard"
)

// blockCacheBytes bounds the unpacked blocks that are kept, unless a single one is bigger. At the usual size of blocks
// it is enough for a hundred readers in the middle of one each.
const blockCacheBytes = 8 << 20

// blockCache keeps the unpacked blocks in the middle of which a reader stopped: it comes back for the rest, and must
// not pay for the whole block each time. What is in it never changes, since a compressed segment never does and ids of
// logs and offsets are not given twice.
type blockCache struct {
	mu     sync.Mutex // guards what follows
	blocks map[blockKey]*list.Element
	order  list.List // of cachedBlock, least recently used first
	bytes  int
}

type blockKey struct {
	log  uint64
	base shard.Offset // of the segment
	at   int64
}

type cachedBlock struct {
	key    blockKey
	frames []byte
}

func newBlockCache() *blockCache { return &blockCache{blocks: map[blockKey]*list.Element{}} }

func (c *blockCache) get(key blockKey) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	place := c.blocks[key]
	if place == nil {
		return nil
	}
	c.order.MoveToBack(place)
	return place.Value.(cachedBlock).frames
}

func (c *blockCache) put(key blockKey, frames []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocks[key] != nil {
		return
	}
	c.blocks[key] = c.order.PushBack(cachedBlock{key, frames})
	c.bytes += len(frames)
	for c.bytes > blockCacheBytes && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Front()).(cachedBlock)
		delete(c.blocks, old.key)
		c.bytes -= len(old.frames)
	}
}

// scan calls f for the frames of a compressed segment from a position on, as scanFrames does. r reads the file.
func (c *blockCache) scan(r io.ReaderAt, file *openFile, seg segment, index []indexEntry, pos int64, f func(h *frameHeader, frame []byte, pos int64) (bool, error)) error {
	first := max(sort.Search(len(index), func(i int) bool { return index[i].pos > pos })-1, 0)
	for i := first; i < len(index); i++ {
		key := blockKey{file.key.log, file.key.base, index[i].at}
		frames := c.get(key)
		if frames == nil {
			var err error
			if frames, err = readBlock(r, file.name, index, i, seg.bytes, seg.stored); err != nil {
				return err
			}
		}
		more, err := scanBlock(frames, file.name, index[i], max(pos, index[i].pos), f)
		if err != nil {
			return err
		}
		if !more {
			c.put(key, frames)
			return nil
		}
	}
	return nil
}

// scanBlock calls f for the frames of an unpacked block from a position on. It returns false if f did.
func scanBlock(frames []byte, name string, block indexEntry, pos int64, f func(h *frameHeader, frame []byte, pos int64) (bool, error)) (more bool, err error) {
	corrupt := func(err error) error {
		return &shard.CorruptError{File: name, Offset: block.at, Reason: "in the unpacked block: " + err.Error()}
	}
	for b := frames[min(pos-block.pos, int64(len(frames))):]; len(b) > 0; {
		h, err := checkFrame(b)
		if err != nil {
			return false, corrupt(err)
		}
		more, err := f(&h, b[:h.length:h.length], pos)
		if bad := badFrame(""); errors.As(err, &bad) {
			return false, corrupt(err)
		}
		if !more || err != nil {
			return false, err
		}
		b = b[h.length:]
		pos += h.length
	}
	return true, nil
}
