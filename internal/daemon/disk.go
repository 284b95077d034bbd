package daemon

import (
	"errors"
	"fmt"
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

// insufficientStorage is JetStream's code for a stream that there is no room for.
const insufficientStorage = 10047

// ofDisk makes err one of ErrDisk, if it is of a disk. The streams of the embedded server
// lie on it as well.
func (d *daemon) ofDisk(err error) error {
	if FullDisk(err) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS) || d.server != nil && ofJetStream(err) {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return err
}

// ofJetStream reports whether err is the server's word that it finds no room; for what a
// file would not take it has none of its own, and quotes the system's.
func ofJetStream(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.ErrorCode == insufficientStorage || strings.Contains(e.Description, syscall.ENOSPC.Error()))
}
