package bundle

import (
	"strings"
	"sync"
)

// Group is a delivered bundle. The server gets one answer once all messages are answered: done, or
// the return of the whole bundle if any message was returned.
type Group struct {
	done string

	mu    sync.Mutex
	left  int
	again string // the answer that returns the bundle; "": none so far
}

// NewGroup returns the Group of n messages. done is the answer to the server if none of them is
// returned.
func NewGroup(n int, done string) *Group { return &Group{done: done, left: n} }

// Answer takes the answer to one message. After the last one it returns the answer to the bundle,
// before that "".
func (g *Group) Answer(word string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if strings.HasPrefix(word, "-NAK") && len(word) >= len(g.again) { // the longer delay, roughly
		g.again = word
	}
	if g.left--; g.left > 0 {
		return ""
	}
	if g.again != "" {
		return g.again
	}
	return g.done
}
