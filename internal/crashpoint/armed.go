//go:build crashpoints

package crashpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Enabled reports whether this build can die at its points.
const Enabled = true

// state is what the environment asks for, and what was visited.
type state struct {
	mu     sync.Mutex
	target string // "" for none
	at     int    // the visit at which to die, from 1
	visits map[string]int
	log    *os.File // nil: none
}

var current = sync.OnceValue(func() *state {
	s := &state{visits: map[string]int{}}
	if want := os.Getenv(Env); want != "" {
		s.target, s.at = parse(want)
	}
	if path := os.Getenv(LogEnv); path != "" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", LogEnv, err))
		}
		s.log = file
	}
	return s
})

// parse reads name#visit.
func parse(want string) (name string, visit int) {
	name, number, found := strings.Cut(want, "#")
	visit = 1
	if found {
		var err error
		if visit, err = strconv.Atoi(number); err != nil || visit < 1 {
			panic(fmt.Sprintf("%s=%q: write name#visit with a visit from 1", Env, want))
		}
	}
	if !slices.Contains(All, name) {
		panic(fmt.Sprintf("%s=%q: there is no such point; crashpoint.All has them", Env, want))
	}
	return name, visit
}

// Here counts the visit, and ends the process if it is the one that the
// environment names. It may be called from any goroutine.
func Here(name string) {
	s := current()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visits[name]++
	s.note(name)
	if name != s.target || s.visits[name] != s.at {
		return
	}
	s.note(Died + name)
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(fmt.Sprintf("die at %s: %v", name, err))
	}
	select {} // the signal is on its way; nobody passes this point
}

// note appends a line in one write: it survives the death that may follow.
func (s *state) note(line string) {
	if s.log == nil {
		return
	}
	if _, err := s.log.WriteString(line + "\n"); err != nil {
		panic(fmt.Sprintf("%s: %v", LogEnv, err))
	}
}
