//go:build linux && lab

package reliability

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/amends-dev/amends/internal/lab/world"
)

// watched is how long a system at rest is watched, and idle the share of a processor that it may
// use.
const (
	watched = 2 * time.Second
	idle    = 0.25
)

// atRest reports what every process uses while no saga is in flight. A process that is busy is a
// finding.
func (s *system) atRest() (report string, found []world.Finding) {
	names := s.names()
	before := make([]time.Duration, len(names))
	for i, name := range names {
		before[i] = s.processes[name].processor()
	}
	world.Hold(watched)
	var parts []string
	for i, name := range names {
		p := s.processes[name]
		used := (p.processor() - before[i]).Seconds() / watched.Seconds()
		parts = append(parts, fmt.Sprintf("%s %.1f %% of a processor, %d MB, %d files", name, 100*used, p.memory()>>20, p.current().Files()))
		if used > idle {
			found = append(found, world.Stuck("", fmt.Sprintf("%s is busy with nothing: %.0f %% of a processor", name, 100*used)))
		}
	}
	return strings.Join(parts, "; "), found
}

// processor returns the processor time that the process has used, with a resolution of 10 ms.
func (p *process) processor() time.Duration {
	_, rest, _ := bytes.Cut(p.current().Proc("stat"), []byte(") ")) // the process name may contain spaces
	fields := bytes.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
	system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory returns the resident memory of the process, in bytes.
func (p *process) memory() int64 {
	fields := bytes.Fields(p.current().Proc("statm"))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
