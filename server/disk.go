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

// ErrDisk means that the data directory cannot be written, because its disk is full or failing.
var ErrDisk = errors.New("the data directory cannot be written to")

// FullDisk reports whether err means that a disk, a quota or a file is full.
func FullDisk(err error) bool {
	return slices.ContainsFunc([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// hasRoom returns an error if 64 KiB cannot be written to dir. It runs before an embedded NATS server
// starts, because that server would wait until there is room.
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

// FailedDisk reports whether err means that the disk does not work. Freeing space does not help
// then.
func FailedDisk(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS)
}

// insufficientStorage is JetStream's error code for a full stream.
const insufficientStorage = 10047

// ofJetStream reports whether err is JetStream's error for a full disk or stream. JetStream has no
// code for a failed write to a file; the error's description quotes the error of the operating
// system.
func ofJetStream(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.ErrorCode == insufficientStorage || strings.Contains(e.Description, syscall.ENOSPC.Error()))
}
