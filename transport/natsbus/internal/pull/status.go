package pull

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// maxMissed is how many silent periods pass before the consumer counts as lost.
const maxMissed = 2

// status handles a word of the server about a pull request. Called with the lock
// held.
func (p *Puller) status(m *nats.Msg) {
	code, description := m.Header.Get("Status"), m.Header.Get("Description")
	switch code {
	case "100": // heartbeat: the request is alive
		p.watchdog.Reset(2 * p.config.Heartbeat)
		return
	case "408", "409":
		left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		if err == nil { // the request has ended and says what it did not deliver
			p.asked = max(p.asked-left, 0)
			p.ask()
			return
		}
	}
	// Everything else ends the requests: consumer or stream deleted, no leader,
	// nobody there (503), a server that shuts down, a request that was refused.
	p.asked = 0
	p.lost(code + " " + description)
	p.watchdog.Reset(p.config.Heartbeat) // ask again soon, but not in a loop
}

// silence is called when nothing came for two heartbeats.
func (p *Puller) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.asked == 0 && len(p.buffer) > 0 {
		p.ask() // nothing was asked because there was no room: silence is right
		p.watchdog.Reset(2 * p.config.Heartbeat)
		return
	}
	if !p.config.Conn.IsConnected() {
		p.watchdog.Reset(2 * p.config.Heartbeat)
		return // Reset comes with the reconnect
	}
	if p.missed++; p.missed > maxMissed {
		p.lost("no heartbeat for " + (time.Duration(2*p.missed) * p.config.Heartbeat).String())
	}
	p.asked = 0
	p.ask()
}

func (p *Puller) lost(reason string) {
	if p.config.OnLost != nil {
		p.config.OnLost(reason)
	}
}
