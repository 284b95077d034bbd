package bundle

import (
	"strings"
	"sync"
)

// Group is a delivered bundle. Once all messages are acknowledged or returned, the server gets one
// acknowledgement: done, or the return of the whole bundle if any message was returned.
type Group struct {
	done string

	mu    sync.Mutex
	left  int
	again string // the acknowledgement that returns the bundle; "" if no message was returned yet
}

// NewGroup returns the Group of n messages. done is the acknowledgement that the server gets if no
// message is returned.
func NewGroup(n int, done string) *Group { return &Group{done: done, left: n} }

// Answer records the acknowledgement of one message. For the last message, it returns the
// acknowledgement of the bundle; before that, it returns "".
func (g *Group) Answer(word string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if strings.HasPrefix(word, "-NAK") && len(word) >= len(g.again) { // usually keeps the longer delay
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
