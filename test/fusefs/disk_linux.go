package fusefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// fsName is what the mounts are called in /proc/mounts.
const fsName = "sluice-test-disk"

// Disk is a mounted file system. Every call of a process goes to the vfs.FS: nothing is cached in between, so that what
// was not synced is nowhere else.
type Disk struct {
	dir    string
	files  vfs.FS
	server *fuse.Server

	unmount func() error

	mu  sync.Mutex
	off chan struct{} // nil while the power is on; closed when those who wait may go
}

// Mount mounts the files on a directory. Unmount must be called, whatever happens.
func Mount(dir string, files vfs.FS) (*Disk, error) {
	removeStale()
	d := &Disk{dir: dir, files: files}
	d.unmount = sync.OnceValue(d.unmountOnce)
	device, err := mountDevice(dir)
	if err == nil {
		d.server, err = gofs.Mount(fmt.Sprintf("/dev/fd/%d", device), &node{d: d}, &gofs.Options{
			MountOptions: fuse.MountOptions{MaxWrite: maxWrite, DisableXAttrs: true},
		})
	}
	if err == nil {
		err = refusePoll(dir)
	}
	if err != nil {
		err = fmt.Errorf("mount a file system on %s through /dev/fuse: %w", dir, err)
		if device > 0 {
			err = errors.Join(err, detach(dir))
		}
		return nil, err
	}
	return d, nil
}

const maxWrite = 512 << 10

// mountDevice mounts what is behind a descriptor of /dev/fuse, which it returns. The library would do so too, but let
// other programs have the descriptor that this one starts: the mount would outlive this process then, and whoever looks
// at it would wait for ever.
func mountDevice(dir string) (int, error) {
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d",
		device, unix.S_IFDIR, os.Geteuid(), os.Getegid(), maxWrite)
	if err := unix.Mount(fsName, dir, "fuse."+fsName, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return 0, errors.Join(err, unix.Close(device))
	}
	return device, nil
}

// refusePoll lets the kernel learn that files cannot be polled, by a file that the library has for it. Else Go's poller
// in this process might wait for this process to answer.
func refusePoll(dir string) error {
	fd, err := unix.Open(filepath.Join(dir, ".go-fuse-epoll-hack"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return errors.Join(err, unix.Close(fd))
}

// detach takes a mount away, whoever uses it, and fails all calls that wait for it.
func detach(dir string) error { return unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH) }

// Freeze lets no call return any more, as when the power goes. A process that waits for one can be killed, and dies when
// Unmount is called.
func (d *Disk) Freeze() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off == nil {
		d.off = make(chan struct{})
	}
}

// Release ends the calls that Freeze holds, with an error. Whoever made them must have been killed before.
func (d *Disk) Release() {
	d.Freeze()
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.off:
	default:
		close(d.off)
	}
}

// Unmount takes the file system away, whoever uses it. Calling it again does nothing.
func (d *Disk) Unmount() error { return d.unmount() }

func (d *Disk) unmountOnce() error {
	d.Release()
	if err := detach(d.dir); err != nil {
		return &os.PathError{Op: "unmount", Path: d.dir, Err: err}
	}
	d.server.Wait()
	return nil
}

// removeStale takes away the mounts of test processes that died: nobody answers there any more.
func removeStale() {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(mounts)) {
		if part := strings.Fields(line); len(part) > 2 && part[0] == fsName {
			if _, err := os.Stat(part[1]); errors.Is(err, syscall.ENOTCONN) {
				_ = detach(part[1])
			}
		}
	}
}

// frozen waits while the disk is frozen, and tells whether it was.
func (d *Disk) frozen() bool {
	d.mu.Lock()
	off := d.off
	d.mu.Unlock()
	if off == nil {
		return false
	}
	<-off
	return true
}

// do carries out one call, unless the power is off; if it goes meanwhile, nobody learns how the call ended.
func (d *Disk) do(call func() error) syscall.Errno {
	if d.frozen() {
		return syscall.EIO
	}
	err := call()
	if d.frozen() {
		return syscall.EIO
	}
	return errno(err)
}

func errno(err error) syscall.Errno {
	var number syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &number):
		return number
	case errors.Is(err, fs.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, fs.ErrExist):
		return syscall.EEXIST
	default:
		return syscall.EIO
	}
}
