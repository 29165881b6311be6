package fusefs

import (
	"context"
	"errors"
	"io"
	"path"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// node is a file or a directory. It is found in the vfs.FS by its path.
type node struct {
	gofs.Inode
	d *Disk
}

var (
	_ gofs.NodeLookuper  = (*node)(nil)
	_ gofs.NodeGetattrer = (*node)(nil)
	_ gofs.NodeSetattrer = (*node)(nil)
	_ gofs.NodeReaddirer = (*node)(nil)
	_ gofs.NodeCreater   = (*node)(nil)
	_ gofs.NodeOpener    = (*node)(nil)
	_ gofs.NodeMkdirer   = (*node)(nil)
	_ gofs.NodeUnlinker  = (*node)(nil)
	_ gofs.NodeRmdirer   = (*node)(nil)
	_ gofs.NodeRenamer   = (*node)(nil)
	_ gofs.NodeFsyncer   = (*node)(nil)
	_ gofs.NodeStatfser  = (*node)(nil)
)

func (n *node) path(names ...string) string {
	return path.Join(append([]string{"/", n.Path(nil)}, names...)...)
}

func attributes(info vfs.Info, out *fuse.Attr) {
	out.Mode = syscall.S_IFREG | 0o640
	if info.Dir {
		out.Mode = syscall.S_IFDIR | 0o750
	}
	out.Size = uint64(info.Size)
	out.Blocks = (out.Size + 511) / 512
	out.Blksize = 4096
	out.Nlink = 1
}

// child returns the node of a name in this directory.
func (n *node) child(ctx context.Context, name string, dir bool) *gofs.Inode {
	if known := n.GetChild(name); known != nil && known.IsDir() == dir {
		return known
	}
	mode := uint32(syscall.S_IFREG)
	if dir {
		mode = syscall.S_IFDIR
	}
	return n.NewInode(ctx, &node{d: n.d}, gofs.StableAttr{Mode: mode})
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	var info vfs.Info
	if errno := n.d.do(func() (err error) { info, err = n.d.files.Stat(n.path(name)); return }); errno != 0 {
		return nil, errno
	}
	attributes(info, &out.Attr)
	return n.child(ctx, name, info.Dir), 0
}

func (n *node) Getattr(_ context.Context, f gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return n.d.do(func() error {
		info, err := n.stat(f)
		attributes(info, &out.Attr)
		return err
	})
}

// stat goes by the open file where there is one: it may have been removed, or renamed.
func (n *node) stat(f gofs.FileHandle) (vfs.Info, error) {
	if h, ok := f.(*handle); ok {
		size, err := h.file.Size()
		return vfs.Info{Size: size}, err
	}
	return n.d.files.Stat(n.path())
}

func (n *node) Setattr(_ context.Context, f gofs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.d.do(func() error {
		if size, ok := in.GetSize(); ok {
			if err := n.truncate(f, int64(size)); err != nil {
				return err
			}
		}
		info, err := n.stat(f)
		attributes(info, &out.Attr)
		return err
	})
}

func (n *node) truncate(f gofs.FileHandle, size int64) error {
	if h, ok := f.(*handle); ok {
		return h.file.Truncate(size)
	}
	file, err := n.d.files.Open(n.path(), true)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Truncate(size)
}

func (n *node) Readdir(context.Context) (gofs.DirStream, syscall.Errno) {
	var entries []fuse.DirEntry
	errno := n.d.do(func() error {
		names, err := n.d.files.List(n.path())
		for _, name := range names {
			mode := uint32(syscall.S_IFREG)
			if info, err := n.d.files.Stat(n.path(name)); err == nil && info.Dir {
				mode = syscall.S_IFDIR
			}
			entries = append(entries, fuse.DirEntry{Name: name, Mode: mode})
		}
		return err
	})
	return gofs.NewListDirStream(entries), errno
}

func (n *node) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	h := &handle{d: n.d}
	if errno := n.d.do(func() (err error) { h.file, err = n.d.files.Create(n.path(name)); return }); errno != 0 {
		return nil, nil, 0, errno
	}
	attributes(vfs.Info{}, &out.Attr)
	return n.child(ctx, name, false), h, fuse.FOPEN_DIRECT_IO, 0
}

func (n *node) Open(_ context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	h := &handle{d: n.d}
	write := flags&syscall.O_ACCMODE != syscall.O_RDONLY
	if errno := n.d.do(func() (err error) { h.file, err = n.d.files.Open(n.path(), write); return }); errno != 0 {
		return nil, 0, errno
	}
	return h, fuse.FOPEN_DIRECT_IO, 0
}

func (n *node) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	if errno := n.d.do(func() error { return n.d.files.MkdirAll(n.path(name)) }); errno != 0 {
		return nil, errno
	}
	attributes(vfs.Info{Dir: true}, &out.Attr)
	return n.child(ctx, name, true), 0
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return n.d.do(func() error { return n.d.files.Remove(n.path(name)) })
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	return n.d.do(func() error { return n.d.files.Remove(n.path(name)) })
}

func (n *node) Rename(_ context.Context, name string, to gofs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if flags != 0 {
		return syscall.EINVAL
	}
	return n.d.do(func() error { return n.d.files.Rename(n.path(name), to.(*node).path(newName)) })
}

// Fsync is for files and directories both.
func (n *node) Fsync(_ context.Context, f gofs.FileHandle, flags uint32) syscall.Errno {
	return n.d.do(func() error {
		h, ok := f.(*handle)
		switch {
		case !ok:
			return n.d.files.SyncDir(n.path())
		case flags&fdatasync != 0:
			return h.file.Datasync()
		default:
			return h.file.Sync()
		}
	})
}

// fdatasync is FUSE_FSYNC_FDATASYNC of the kernel's fuse.h.
const fdatasync = 1

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	return n.d.do(func() error {
		free, err := n.d.files.Free("/")
		out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
		out.Bavail = uint64(free) / 4096
		out.Bfree, out.Blocks = out.Bavail, out.Bavail
		return err
	})
}

// handle is an open file.
type handle struct {
	d    *Disk
	file vfs.File
}

var (
	_ gofs.FileReader    = (*handle)(nil)
	_ gofs.FileWriter    = (*handle)(nil)
	_ gofs.FileAllocater = (*handle)(nil)
	_ gofs.FileReleaser  = (*handle)(nil)
)

func (h *handle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	got := 0
	errno := h.d.do(func() (err error) {
		if got, err = h.file.ReadAt(dest, off); errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	})
	return fuse.ReadResultData(dest[:got]), errno
}

func (h *handle) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	written := 0
	errno := h.d.do(func() (err error) { written, err = h.file.WriteAt(data, off); return })
	return uint32(written), errno
}

func (h *handle) Allocate(_ context.Context, off, size uint64, mode uint32) syscall.Errno {
	if mode != unix.FALLOC_FL_KEEP_SIZE {
		return syscall.EOPNOTSUPP
	}
	return h.d.do(func() error { return h.file.Preallocate(int64(off), int64(size)) })
}

func (h *handle) Release(context.Context) syscall.Errno { return errno(h.file.Close()) }
