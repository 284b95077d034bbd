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

// watched is how long a system at rest is watched, and idle how much of one
// processor it may use meanwhile.
const (
	watched = 2 * time.Second
	idle    = 0.25
)

// atRest says what every process uses while no saga is under way; a finding is
// one that is busy all the same.
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

// processor is the processor time that the process has used, to a hundredth of a
// second.
func (p *process) processor() time.Duration {
	_, rest, _ := bytes.Cut(p.current().Proc("stat"), []byte(") ")) // the name may hold spaces
	fields := bytes.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
	system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is what the process holds resident, in bytes.
func (p *process) memory() int64 {
	fields := bytes.Fields(p.current().Proc("statm"))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
