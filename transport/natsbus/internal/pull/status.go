package pull

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// maxMissed is the number of missed heartbeats after which the consumer is reported as lost.
const maxMissed = 2

// status handles a status message of the server about a pull request. The caller holds the lock.
func (p *Puller) status(m *nats.Msg) {
	code, description := m.Header.Get("Status"), m.Header.Get("Description")
	switch code {
	case "100": // heartbeat of an open request
		p.watchdog.Reset(2 * p.config.Heartbeat)
		return
	case "408", "409":
		left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		if err == nil { // the request has ended; left is the number of messages that it did not deliver
			p.asked = max(p.asked-left, 0)
			p.ask()
			return
		}
	}
	// All other statuses end the pull requests. Examples: consumer or stream deleted, no leader, no
	// responders (503), server shutdown, request refused.
	p.asked = 0
	p.lost(code + " " + description)
	p.watchdog.Reset(p.config.Heartbeat) // ask again soon, but not in a busy loop
}

// silence is called if nothing has arrived for two heartbeat intervals.
func (p *Puller) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.asked == 0 && len(p.buffer) > 0 {
		p.ask() // the buffer was full and no request is open, so silence is expected
		p.watchdog.Reset(2 * p.config.Heartbeat)
		return
	}
	if !p.config.Conn.IsConnected() {
		p.watchdog.Reset(2 * p.config.Heartbeat)
		return // Reset is called after the reconnect
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
