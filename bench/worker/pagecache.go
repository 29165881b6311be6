package worker

import (
	"context"
	"fmt"
	"os"
)

// PageCache fills the system's page cache, as that of a server is which has written and read for a day: from then on memory for
// more of it comes from what was read longest ago, and not from what nobody has used yet. On virtual machines whose hosts take
// back what is free, the latter can cost many times what it takes to write a page.
type PageCache struct {
	file   *os.File // sparse
	next   int64    // offset of what has not been read yet
	memory func() (free, total int64, err error)
}

// spareMemory is of how many parts of the memory one stays free.
const spareMemory = 64

// OpenPageCache makes a file of zeros that takes no space on the disk, in a directory.
func OpenPageCache(dir string) (*PageCache, error) {
	if _, _, err := memory(); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "sluice-bench-page-cache-")
	if err != nil {
		return nil, err
	}
	return &PageCache{file: f, memory: memory}, os.Remove(f.Name()) // it is gone, however this process ends
}

// Fill reads until next to no memory is free.
func (p *PageCache) Fill(ctx context.Context) error {
	buf := make([]byte, 1<<20)
	for begun := p.next; ; p.next += int64(len(buf)) {
		free, total, err := p.memory()
		if err != nil || free < total/spareMemory {
			return err
		}
		if p.next-begun > 2*total {
			return fmt.Errorf("%d MiB are free though twice as much as there is has been read: "+
				"is the directory on a file system without a page cache, such as tmpfs, or the memory of this process limited?", free>>20)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.file.Truncate(p.next + int64(len(buf))); err != nil {
			return err
		}
		if _, err := p.file.ReadAt(buf, p.next); err != nil {
			return err
		}
	}
}

// Close gives up the file, and with it what it has in the page cache.
func (p *PageCache) Close() error { return p.file.Close() }
