package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

const (
	scrubName    = "SCRUB"
	scrubMagic   = 0x42534c53 // "SLSB"
	scrubVersion = 1
	scrubBytes   = 16 + 10*8
)

// scrubState is what survives of the scrub: where a pass stands, and how the last one ended. It is a help, not a truth:
// without it a pass begins anew.
type scrubState struct {
	pass scrubPass // the one that is under way; zero if none is
	last scrubPass // the last one that has ended; zero if none has
	end  time.Time // of the last one

	log  uint64       // the pass goes on with this log
	base shard.Offset // from this segment on
}

// scrubPass is one pass over all sealed segments.
type scrubPass struct {
	begun    time.Time
	segments int64
	damaged  int64
}

func (s *scrubState) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 16, scrubBytes)
	le.PutUint32(b, scrubMagic)
	le.PutUint16(b[8:], scrubVersion)
	put := func(v int64) { b = le.AppendUint64(b, uint64(v)) }
	for _, p := range []scrubPass{s.pass, s.last} {
		put(scrubMillis(p.begun))
		put(p.segments)
		put(p.damaged)
	}
	put(scrubMillis(s.end))
	put(int64(s.log))
	put(int64(s.base))
	put(0)
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func decodeScrubState(b []byte) (scrubState, error) {
	le := binary.LittleEndian
	switch {
	case len(b) != scrubBytes || le.Uint32(b) != scrubMagic:
		return scrubState{}, errors.New("not the state of a scrub")
	case le.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli):
		return scrubState{}, errors.New("state of the scrub: checksum does not match")
	case le.Uint16(b[8:]) != scrubVersion:
		return scrubState{}, fmt.Errorf("state of the scrub: version %d is not known", le.Uint16(b[8:]))
	}
	b = b[16:]
	take := func() int64 {
		v := int64(le.Uint64(b))
		b = b[8:]
		return v
	}
	var s scrubState
	for _, p := range []*scrubPass{&s.pass, &s.last} {
		*p = scrubPass{begun: scrubTime(take()), segments: take(), damaged: take()}
	}
	s.end, s.log, s.base = scrubTime(take()), uint64(take()), shard.Offset(take())
	return s, nil
}

func scrubMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func scrubTime(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis)
}

// loadScrubState reads the state, the zero one if there is none that can be read.
func (e *Engine) loadScrubState() scrubState {
	b, err := readFile(e.opts.FS, e.path(scrubName), 4096)
	var s scrubState
	if err == nil {
		s, err = decodeScrubState(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.opts.Logger.Warn("the scrub begins anew", "file", e.path(scrubName), "error", err)
	}
	return s
}
