package log

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// disk is the part of a file system that a File needs. Tests replace it with one that loses unsynced
// writes.
type disk interface {
	list() ([]string, error)
	view(name string) (segmentView, error)
	open(name string) (segmentFile, error)
	// create creates a file of zeros and syncs its content. Its name may not be durable before sync.
	create(name string, size int64) error
	rename(from, to string) error
	remove(name string) error
	sync() error // makes the creation, renaming and removal of files durable
}

// segmentView is a segment that is open for reading.
type segmentView interface {
	io.ReaderAt
	io.Closer
	Size() (int64, error)
}

// segmentFile is a segment that is open for reading and writing.
type segmentFile interface {
	segmentView
	io.WriterAt
	Sync() error // only the content has to be synced, because the size never changes
}

// directory is the disk for a directory of the file system.
type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

func (d directory) list() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

func (d directory) view(name string) (segmentView, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d directory) open(name string) (segmentFile, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// zeros is the block that create writes repeatedly to fill a file.
var zeros [64 << 10]byte

func (d directory) create(name string, size int64) (err error) {
	if free, known := FreeSpace(string(d)); known && free < size { // do not use up what is left, only to give it back
		return &os.PathError{Op: "create", Path: d.path(name), Err: syscall.ENOSPC}
	}
	f, err := os.OpenFile(d.path(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for size > 0 {
		n, err := f.Write(zeros[:min(size, int64(len(zeros)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return f.Sync()
}

func (d directory) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d directory) remove(name string) error { return os.Remove(d.path(name)) }

func (d directory) sync() (err error) {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Sync() error { return syncData(f.File) }
