package bundle

import (
	"strings"
	"sync"
)

// Group is a bundle whose messages were handed out. The server is answered once, when all of
// them are: that it is done, or else by giving the whole bundle back.
type Group struct {
	done string

	mu    sync.Mutex
	left  int
	again string // what gives it back; "": nothing does so far
}

// NewGroup returns the Group of n messages; done is the answer to the server when none of
// them is given back.
func NewGroup(n int, done string) *Group { return &Group{done: done, left: n} }

// Answer takes the answer to one message, and returns that to the bundle when it was the last
// one; "" before.
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
