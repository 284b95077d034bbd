package natsbus

import (
	"sync"
	"time"
)

// lastAck holds back the acknowledgement of the newest message of a work queue until a later message
// is acknowledged, or until none has been for a while. So a queue through which messages flow one by
// one never becomes empty: whenever it does, the server removes its file and creates a new one for the
// next message (nats-server 2.15), which costs more than the message itself.
//
// If the process dies meanwhile, the held message is redelivered, as any message whose
// acknowledgement is lost.
type lastAck struct {
	send  func(reply string)
	while time.Duration // how long it is held at least, and at most twice as long; 0 means not at all

	mu    sync.Mutex
	reply string // of the held message; "" if there is none
	newer bool   // whether it is newer than the timer
	timer *time.Timer
	off   bool // whether acknowledgements are sent at once
}

// holdFor is how long a source holds its newest acknowledgement, unless its AckWait is short. Tests
// change it.
var holdFor = 100 * time.Millisecond

// holdFrom is the least number of messages in flight with which a source holds an acknowledgement. A
// held message counts as in flight, so with few of them it would delay the next delivery.
const holdFrom = 64

// ack holds the acknowledgement of a message, and sends the one that was held before.
func (l *lastAck) ack(reply string) {
	l.mu.Lock()
	before := reply
	if l.while > 0 && !l.off {
		before, l.reply, l.newer = l.reply, reply, true
		switch {
		case l.timer == nil:
			l.timer = time.AfterFunc(l.while, l.tick)
		case before == "":
			l.timer.Reset(l.while)
		}
	}
	l.mu.Unlock()
	if before != "" {
		l.send(before)
	}
}

// tick sends the held acknowledgement if it has been held for long enough.
func (l *lastAck) tick() {
	l.mu.Lock()
	reply := l.reply
	if l.newer && reply != "" {
		l.newer = false
		l.timer.Reset(l.while)
		l.mu.Unlock()
		return
	}
	l.reply = ""
	l.mu.Unlock()
	if reply != "" {
		l.send(reply)
	}
}

// stop sends the held acknowledgement. Later ones are sent at once.
func (l *lastAck) stop() {
	l.mu.Lock()
	reply := l.reply
	l.reply, l.off = "", true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	if reply != "" {
		l.send(reply)
	}
}
