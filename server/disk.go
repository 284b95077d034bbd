package server

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrDisk: the data directory cannot be written, because its disk is full or fails.
var ErrDisk = errors.New("the data directory cannot be written")

// FullDisk reports whether err is of a disk, a quota or a file that takes no more.
func FullDisk(err error) bool {
	return slices.ContainsFunc([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// hasRoom reports why dir takes nothing, so that it is known before a server that lies in it as
// well has waited for room.
func hasRoom(dir string) (err error) {
	f, err := os.Create(filepath.Join(dir, "room.tmp"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, 64<<10)); err != nil {
		return err
	}
	return f.Sync()
}

// FailedDisk reports whether err is of a disk that does not work: to make room does not help.
func FailedDisk(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS)
}

// insufficientStorage is JetStream's code for a stream that there is no room for.
const insufficientStorage = 10047

// ofJetStream reports whether err is the server's word that it finds no room; for what a
// file would not take it has none of its own, and quotes the system's.
func ofJetStream(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.ErrorCode == insufficientStorage || strings.Contains(e.Description, syscall.ENOSPC.Error()))
}
