package server

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// bootID identifies the current boot of the machine. It is "" if unknown.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// fileID identifies a file on this machine. A copy has a different id, even if it replaces the
// original. A lock on a copy therefore does not show that another process has the original open.
func fileID(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
