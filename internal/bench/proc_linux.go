package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// memoryOf returns the resident memory of a process.
func memoryOf(pid int) (m memory) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		field := strings.Fields(lines.Text())
		if len(field) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(field[1], 10, 64)
		switch field[0] {
		case "VmRSS:":
			m.rss = kib << 10
		case "RssAnon:":
			m.anon = kib << 10
		}
	}
	return m
}

// ticksPerSecond is the number of clock ticks per second. /proc counts CPU time in clock ticks. The
// number is the same on every Linux.
const ticksPerSecond = 100

// cpuOf returns the CPU time of a process.
func cpuOf(pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The fields follow the process's name, which may contain any character. State is the first
	// field, user and system time are the 12th and 13th.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

// forgetCached drops a file from the page cache, so that the next reader reads it from the disk.
func forgetCached(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
