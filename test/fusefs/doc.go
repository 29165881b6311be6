// Package fusefs mounts a vfs.FS as a real file system, through FUSE, so that a real process can be run on a disk that
// loses power: the disk is a vfs.Mem, which knows what was synced and what was not. It is for tests, on Linux.
package fusefs
