package log

import (
	"os"
	"syscall"
)

// syncData makes a file's content durable, but not its timestamps, which would cost a journal commit.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
