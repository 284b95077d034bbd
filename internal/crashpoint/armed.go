//go:build crashpoints

package crashpoint

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Enabled reports whether this build can crash at crash points.
const Enabled = true

// state holds the crash point from the environment, and the number of visits so far.
type state struct {
	mu     sync.Mutex
	target Point // "" if there is none
	at     int   // the visit at which to crash, counted from 1
	visits map[Point]int
	log    *os.File // nil if there is none
}

var current = sync.OnceValue(func() *state {
	s := &state{visits: map[Point]int{}}
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

// parse parses name#visit.
func parse(want string) (point Point, visit int) {
	name, number, found := strings.Cut(want, "#")
	visit = 1
	if found {
		var err error
		if visit, err = strconv.Atoi(number); err != nil || visit < 1 {
			panic(fmt.Sprintf("%s=%q: write name#visit with a visit from 1", Env, want))
		}
	}
	if !slices.Contains(All, Point(name)) {
		panic(fmt.Sprintf("%s=%q: there is no such point; crashpoint.All has them", Env, want))
	}
	return Point(name), visit
}

// Here counts a visit of a point, and kills the process if the environment names this visit. It is
// safe for concurrent use.
func Here(point Point) {
	s := current()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visits[point] == 0 && !slices.Contains(All, point) {
		panic(fmt.Sprintf("crashpoint.All does not have %q", point))
	}
	s.visits[point]++
	s.note(string(point))
	if point != s.target || s.visits[point] != s.at {
		return
	}
	s.note(Died + string(point))
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(fmt.Sprintf("die at %s: %v", point, err))
	}
	select {} // wait for the signal
}

// wrappers holds the wrappers set by Use: for each interface T, a func(T) T.
var wrappers = map[reflect.Type]any{}

// Use makes Wrap apply wrap to values of the interface T. Call it before the program under test
// starts.
func Use[T any](wrap func(T) T) { wrappers[reflect.TypeFor[T]()] = wrap }

// Wrap returns seam, wrapped by the function that was passed to Use for the interface T, if any.
func Wrap[T any](seam T) T {
	if wrap, ok := wrappers[reflect.TypeFor[T]()].(func(T) T); ok {
		return wrap(seam)
	}
	return seam
}

// note appends a line in a single write, so that a crash right afterwards cannot truncate it.
func (s *state) note(line string) {
	if s.log == nil {
		return
	}
	if _, err := s.log.WriteString(line + "\n"); err != nil {
		panic(fmt.Sprintf("%s: %v", LogEnv, err))
	}
}
