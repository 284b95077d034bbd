package server

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// bootID tells this start of the machine from all others; "": it is not known.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// fileID tells a file from all others of this machine, copies of it included, also from one
// that is put in its place: the lock on that one says nothing about who has this one open.
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
