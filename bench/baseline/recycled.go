package baseline

import (
	"errors"
	"fmt"
	"path"
	"sync"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// The shape of the bare journal: that of the engine's own by default, but for fewer files; with as many, 16, it was not slower.
// They are filled in pieces as the engine fills its own, since Linux writes over those faster than over larger ones.
const (
	fillBytes         = 256 << 10
	recycledFiles     = 4
	recycledFileBytes = 64 << 20
	groupBytes        = 4 << 20 // what is collected for one write, unless a single record is bigger
	blockBytes        = 4096
)

// Recycled is the least that makes records of many writers durable on one disk: whatever has been handed in while the
// disk was busy is copied together, written with one write over files that are full of bytes already, and synced. No
// headers, no checksums, nobody who could find a record again.
//
// With a write-behind it does what every design with a journal and segments must do in the end: write every byte twice.
type Recycled struct {
	files  []vfs.File
	behind *writeBehind // nil: the journal is all there is

	mu     sync.Mutex // guards what follows
	groups []*group   // the oldest is written next, the youngest takes what comes
	closed bool
	err    error

	ready chan struct{}
	done  chan struct{} // closed when the committer has ended

	// Of the committer alone.
	at    int // index in files
	pos   int64
	spare []byte // for the next group, if nobody else keeps it
}

// group is what becomes durable together.
type group struct {
	records []record
	bytes   int64
	done    chan struct{} // closed when it is durable, or err is set
	err     error
}

type record struct {
	log   int
	bytes []byte
}

// OpenRecycled makes the journal files in an empty directory. With logs > 0 everything is also moved to so many
// segment files, each of which is followed by another when it is full.
func OpenRecycled(fs vfs.FS, dir string, logs int) (*Recycled, error) {
	r := &Recycled{ready: make(chan struct{}, 1), done: make(chan struct{})}
	zeros := make([]byte, fillBytes)
	for i := range recycledFiles {
		f, err := fs.Create(path.Join(dir, fmt.Sprintf("%04d.journal", i)))
		if err != nil {
			return nil, errors.Join(err, r.closeFiles())
		}
		r.files = append(r.files, f)
		for pos := int64(0); pos < recycledFileBytes; pos += int64(len(zeros)) {
			if _, err := f.WriteAt(zeros, pos); err != nil {
				return nil, errors.Join(err, r.closeFiles())
			}
		}
		if err := f.Sync(); err != nil {
			return nil, errors.Join(err, r.closeFiles())
		}
	}
	if err := fs.SyncDir(dir); err != nil {
		return nil, errors.Join(err, r.closeFiles())
	}
	if logs > 0 {
		r.behind = newWriteBehind(fs, dir, logs)
	}
	go r.run()
	return r, nil
}

// Append returns when the record is durable. Its bytes must not change until then.
func (r *Recycled) Append(log int, bytes []byte) error {
	r.mu.Lock()
	if r.err != nil {
		r.mu.Unlock()
		return r.err
	}
	var g *group
	if n := len(r.groups); n > 0 && r.groups[n-1].bytes+int64(len(bytes)) <= groupBytes {
		g = r.groups[n-1]
	} else {
		g = &group{done: make(chan struct{})}
		r.groups = append(r.groups, g)
	}
	g.records = append(g.records, record{log, bytes})
	g.bytes += int64(len(bytes))
	r.mu.Unlock()
	select {
	case r.ready <- struct{}{}:
	default:
	}
	<-g.done
	return g.err
}

// Close waits for what was handed in, which nobody may do any more, and closes the files.
func (r *Recycled) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	select {
	case r.ready <- struct{}{}:
	default:
	}
	<-r.done
	var err error
	if r.behind != nil {
		err = r.behind.close()
	}
	return errors.Join(err, r.closeFiles())
}

func (r *Recycled) closeFiles() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (r *Recycled) run() {
	defer close(r.done)
	for g := r.take(); g != nil; g = r.take() {
		if g.err = r.commit(g); g.err != nil {
			r.mu.Lock()
			r.err = g.err
			r.mu.Unlock()
		}
		close(g.done)
	}
}

// take waits for the oldest group; nil after Close.
func (r *Recycled) take() *group {
	for {
		r.mu.Lock()
		if len(r.groups) > 0 {
			g := r.groups[0]
			r.groups[0] = nil
			r.groups = r.groups[1:]
			r.mu.Unlock()
			return g
		}
		r.groups = nil
		closed := r.closed
		r.mu.Unlock()
		if closed {
			return nil
		}
		<-r.ready
	}
}

func (r *Recycled) commit(g *group) error {
	if r.err != nil { // only this goroutine sets it
		return r.err
	}
	padded := (g.bytes + blockBytes - 1) &^ (blockBytes - 1)
	if r.pos+padded > recycledFileBytes {
		if err := r.nextFile(); err != nil {
			return err
		}
	}
	buf, err := r.buffer(padded)
	if err != nil {
		return err
	}
	for _, rec := range g.records {
		buf = append(buf, rec.bytes...)
	}
	f := r.files[r.at]
	if _, err := f.WriteAt(buf[:padded], r.pos); err != nil {
		return err
	}
	if err := f.Datasync(); err != nil {
		return err
	}
	r.pos += padded
	if r.behind != nil {
		r.behind.put(move{records: g.records, buf: buf, file: -1})
	}
	return nil
}

// nextFile moves on to the file that was written longest ago, when everything in it is in segments.
func (r *Recycled) nextFile() error {
	if r.behind != nil {
		r.behind.put(move{file: r.at})
	}
	r.at, r.pos = (r.at+1)%len(r.files), 0
	if r.behind != nil {
		return r.behind.awaitFree(r.at)
	}
	return nil
}

// buffer returns an empty buffer with room for n bytes.
func (r *Recycled) buffer(n int64) ([]byte, error) {
	if r.behind != nil {
		return r.behind.buffer(n)
	}
	if int64(cap(r.spare)) < n {
		r.spare = make([]byte, 0, max(n, groupBytes))
	}
	return r.spare[:0], nil
}
