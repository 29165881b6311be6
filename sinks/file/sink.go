package file

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-462d9463/sluice/sinks"
)

// sink stores objects in one directory. It holds nothing open between calls, so that the directory may be
// moved away and put back.
//
// A Put goes so, and each step is durable before the next one relies on it:
//
//  1. write the content to a new file in tempDir, and sync it;
//  2. walk down to the object's directory; make each directory that is missing, and sync the one it is in. Also
//     one that is there is not taken for durable: whoever made it may not have got as far as syncing it;
//  3. rename the file to its name, which shows the object or replaces the one that was there, at once;
//  4. sync the object's directory.
//
// Whatever goes wrong before 3 leaves directories without objects at most.
type sink struct {
	dir    string // of all buckets
	bucket string
}

// Writes to the file are gathered to this size.
const bufferBytes = 256 << 10

// writebackBytes is how much is worth a write to the disk before the end.
const writebackBytes = 2 << 20

var buffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, bufferBytes) }}

func (s *sink) Put(ctx context.Context, object sinks.Object) error {
	if err := s.put(ctx, object); err != nil {
		return fmt.Errorf("put object %q into bucket %q below %s: %w", object.Key, s.bucket, s.dir, explain(err))
	}
	return nil
}

func (s *sink) put(ctx context.Context, object sinks.Object) (err error) {
	name, err := Path(object.Key)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()

	temp, err := s.write(ctx, root, object.Body)
	if temp != "" {
		defer func() {
			if err != nil {
				_ = root.Remove(temp) // gone already if the rename was made
			}
		}()
	}
	if err != nil {
		return err
	}
	parents, base := path.Split(name)
	target, err := s.descend(root, parents)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	if err := sinks.ContextError(ctx); err != nil {
		return err
	}
	if err := rename(root, temp, target, base); err != nil {
		return err
	}
	return target.Sync()
}

// write stores the content durably in a temporary file and returns its path below root. The path is returned
// beside an error, too, if there may be a file to remove.
func (s *sink) write(ctx context.Context, root *os.Root, body io.WriterTo) (temp string, err error) {
	if err := root.Mkdir(tempDir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	temp = tempDir + "/" + rand.Text()
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	buffer := buffers.Get().(*bufio.Writer)
	buffer.Reset(&evenWriter{f: f})
	defer func() {
		buffer.Reset(nil) // do not keep the file from being collected
		buffers.Put(buffer)
	}()
	if _, err := sinks.CopyBody(ctx, buffer, body); err != nil {
		return temp, err
	}
	if err := buffer.Flush(); err != nil {
		return temp, err
	}
	return temp, f.Sync()
}

// evenWriter has the kernel write the content to the disk while it is still being made, so that little is left for the sync
// at the end, during which nobody makes anything.
type evenWriter struct {
	f                *os.File
	written, started int64
}

func (w *evenWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.written += int64(n)
	if behind := w.written - w.started; behind >= writebackBytes {
		startWriteback(w.f, w.started, behind)
		w.started = w.written
	}
	return n, err
}

// descend opens the directory for the object, below the bucket's, and makes what is missing on the way there.
// Each step is held inside its directory by os.Root, so that no symbolic link leads out of the bucket.
func (s *sink) descend(root *os.Root, parents string) (*os.File, error) {
	current := root
	leave := func() {
		if current != root {
			_ = current.Close()
		}
	}
	defer func() { leave() }()
	for part := range strings.SplitSeq(s.bucket+"/"+parents, "/") {
		if part == "" {
			continue // behind the last slash; empty parts of keys are escaped
		}
		next, err := enter(current, part)
		if err != nil {
			return nil, err
		}
		leave()
		current = next
	}
	return current.Open(".")
}

// enter opens the directory with this name, which it makes if it is missing; in any case its entry is durable
// then.
func enter(parent *os.Root, name string) (*os.Root, error) {
	err := parent.Mkdir(name, dirMode)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, conflict(err)
	}
	if err := syncDir(parent); err != nil {
		return nil, err
	}
	child, err := parent.OpenRoot(name)
	if err != nil {
		// os.Root has an error of its own for what is no directory.
		if info, statErr := parent.Stat(name); statErr == nil && !info.IsDir() {
			err = fmt.Errorf("%w (%s)", syscall.ENOTDIR, name)
		}
		return nil, conflict(err)
	}
	return child, nil
}

func syncDir(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// rename moves the temporary file to the name base in the directory target. os.Root cannot rename from one
// root to another; renameat can, and it follows no link at the end of either path.
func rename(root *os.Root, temp string, target *os.File, base string) error {
	from, err := root.Open(tempDir)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	err = unix.Renameat(int(from.Fd()), path.Base(temp), int(target.Fd()), base)
	if err != nil {
		return conflict(&os.LinkError{Op: "rename", Old: temp, New: base, Err: err})
	}
	return nil
}

// conflict marks the errors of a name that is a directory and an object at once, as with "a" and "a/b".
func conflict(err error) error {
	switch {
	case errors.Is(err, syscall.EISDIR):
		return sinks.Permanent(fmt.Errorf("%w: there are objects below this key: %w", sinks.ErrInvalidKey, err))
	case errors.Is(err, syscall.ENOTDIR):
		return sinks.Permanent(fmt.Errorf("%w: a part of it is an object itself: %w", sinks.ErrInvalidKey, err))
	case errors.Is(err, syscall.ENAMETOOLONG):
		return sinks.Permanent(fmt.Errorf("%w: %w", sinks.ErrInvalidKey, err))
	}
	return err
}

// explain classifies an error and says what the bare system call does not.
func explain(err error) error {
	if _, ok := errors.AsType[*sinks.BodyError](err); ok {
		return err
	}
	switch {
	case errors.Is(err, syscall.EXDEV):
		return sinks.Permanent(fmt.Errorf("all buckets have to be on one file system: %w", err))
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk is full: %w", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return sinks.Permanent(err)
	}
	return err
}

func (s *sink) Stat(_ context.Context, key string) (sinks.Info, error) {
	info, err := s.stat(key)
	if err != nil {
		return sinks.Info{}, fmt.Errorf("look for object %q in bucket %q below %s: %w", key, s.bucket, s.dir, err)
	}
	return info, nil
}

func (s *sink) stat(key string) (sinks.Info, error) {
	name, err := Path(key)
	if err != nil {
		return sinks.Info{}, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return sinks.Info{}, err // not ErrNotFound: the disk may be away, and the object on it
	}
	defer func() { _ = root.Close() }()
	bucket, err := root.OpenRoot(s.bucket)
	if err != nil {
		return sinks.Info{}, notFound(err)
	}
	defer func() { _ = bucket.Close() }()
	info, err := bucket.Stat(name)
	if err != nil {
		return sinks.Info{}, notFound(err)
	}
	if !info.Mode().IsRegular() {
		return sinks.Info{}, sinks.ErrNotFound
	}
	return sinks.Info{Size: info.Size(), Modified: info.ModTime()}, nil
}

// notFound turns the errors of a path that is not there into ErrNotFound.
func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) {
		return sinks.ErrNotFound
	}
	return err
}
