package server

import (
	"strings"
	"testing"
)

// TestMemoryBytes checks that the streams in memory together get at most a quarter of the memory
// limit, and that settings which cannot be met are refused with a remedy (I10).
func TestMemoryBytes(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		limit, queue, want int64
		problem            string
	}{
		"the default":                     {64 << 30, 0, 512 * mib, ""},
		"a quarter of the limit":          {1 << 30, 0, 128 * mib, ""},
		"the least":                       {64 * mib, 0, 8 * mib, ""},
		"less than the least":             {63 * mib, 0, 0, "at least 64 MiB, and this process has 63 MiB"},
		"as configured":                   {1 << 30, 20 * mib, 20 * mib, ""},
		"as much as possible":             {1 << 30, 128 * mib, 128 * mib, ""},
		"more than a quarter of a limit":  {1 << 30, 128*mib + 1, 0, "give at most 134217728"},
		"more than the default, and room": {64 << 30, 1 << 30, 1 << 30, ""},
	} {
		n := NATS{Storage: StorageMemory, QueueBytes: c.queue}
		got, err := n.memoryBytes(c.limit)
		if got != c.want || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %d, %v, want %d and %q", name, got, err, c.want, c.problem)
		}
	}
}

// TestStorageIsChecked checks that memory is refused for an external server, with the reason.
func TestStorageIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		nats NATS
		want string
	}{
		"external": {NATS{Storage: StorageMemory, URL: "nats://127.0.0.1:1"}, "only possible with the embedded NATS server"},
		"unknown":  {NATS{Storage: "disk"}, `"disk" is unknown; give file or memory`},
		"default":  {NATS{}, ""},
		"file":     {NATS{Storage: StorageFile, URL: "nats://127.0.0.1:1"}, ""},
		"memory":   {NATS{Storage: StorageMemory}, ""},
	} {
		config := Config{DataDir: t.TempDir(), NATS: c.nats}
		err := config.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
