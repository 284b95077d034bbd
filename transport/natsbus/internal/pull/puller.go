package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
)

// Config configures a Puller.
type Config struct {
	Conn      *nats.Conn
	Stream    string
	Consumer  string
	Prefetch  int           // maximum number of buffered deliveries; at least 1
	MaxBytes  int           // approximate maximum of buffered bytes; must exceed the largest message
	Expiry    time.Duration // maximum lifetime of a pull request; the minimum is half of it; 0 means 5 s
	Heartbeat time.Duration // interval of the server's heartbeats, at most Expiry/2; 0 means 500 ms

	// Weigh returns the number of deliveries in a message. Nil means one.
	Weigh func(*nats.Msg) int

	// OnLost, if not nil, is called when the consumer or its stream may be missing. It must not
	// block, and may be called many times.
	OnLost func(reason string)
}

// Message is a received message and its time of arrival.
type Message struct {
	*nats.Msg
	Arrived time.Time
}

// Puller buffers messages that have arrived but have not been taken.
type Puller struct {
	config Config
	sub    *nats.Subscription
	inbox  string
	next   string // subject of pull requests

	mu       sync.Mutex
	buffer   []Message
	bytes    int     // bytes in buffer
	weight   int     // deliveries in buffer
	mean     float64 // moving average of deliveries per message
	asked    int     // requested messages that have not arrived yet
	missed   int     // consecutive missed heartbeats
	closed   bool
	watchdog *time.Timer // fires if the server is silent during an open request
	arrived  chan struct{}
	done     chan struct{}
}

// New subscribes and requests the first messages.
func New(config Config) (*Puller, error) {
	if config.Expiry == 0 {
		config.Expiry = 5 * time.Second
	}
	if config.Weigh == nil {
		config.Weigh = func(*nats.Msg) int { return 1 }
	}
	if config.Heartbeat == 0 {
		config.Heartbeat = 500 * time.Millisecond
	}
	p := &Puller{
		config:  config,
		mean:    1,
		inbox:   config.Conn.NewInbox(),
		next:    "$JS.API.CONSUMER.MSG.NEXT." + config.Stream + "." + config.Consumer,
		arrived: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	p.watchdog = time.AfterFunc(2*config.Heartbeat, p.silence)
	sub, err := config.Conn.Subscribe(p.inbox, p.receive)
	if err != nil {
		p.watchdog.Stop()
		return nil, fmt.Errorf("subscribe to deliveries of %s: %w", config.Consumer, err)
	}
	p.mu.Lock()
	p.sub = sub
	p.ask()
	p.mu.Unlock()
	return p, nil
}

// Take waits until messages are available and returns up to max of them. After Close, it returns
// transport.ErrClosed.
func (p *Puller) Take(ctx context.Context, max int) ([]Message, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, transport.ErrClosed
		}
		if n := min(max, len(p.buffer)); n > 0 {
			batch := p.cut(n)
			p.ask()
			p.mu.Unlock()
			return batch, nil
		}
		p.mu.Unlock()
		select {
		case <-p.arrived:
		case <-p.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// cut removes n messages from the buffer.
func (p *Puller) cut(n int) []Message {
	batch := make([]Message, n)
	copy(batch, p.buffer)
	clear(p.buffer[:n])
	p.buffer = p.buffer[n:]
	for _, m := range batch {
		p.bytes -= m.Size()
		p.weight -= p.config.Weigh(m.Msg)
	}
	if len(p.buffer) > 0 {
		p.signal() // wakes the next caller of Take
	}
	return batch
}

func (p *Puller) signal() {
	select {
	case p.arrived <- struct{}{}:
	default:
	}
}

// Reset drops the state of earlier requests and sends a new request. Call it after a reconnect, or
// after the consumer was recreated.
func (p *Puller) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.missed = 0, 0
	p.ask()
}

// Close stops deliveries. It returns buffered messages to the server, so that they are redelivered
// at once instead of after AckWait.
func (p *Puller) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	close(p.done)
	p.watchdog.Stop()
	left := p.buffer
	p.buffer = nil
	p.mu.Unlock()
	_ = p.sub.Drain() // messages in flight still reach receive, which returns them
	for _, m := range left {
		giveBack(p.config.Conn, m.Msg)
	}
}

// ackPrefix is the prefix of the reply subjects of all deliveries.
const ackPrefix = "$JS.ACK."

func giveBack(nc *nats.Conn, m *nats.Msg) { _ = nc.Publish(m.Reply, []byte("-NAK")) }

// receive is the callback of the subscription.
func (p *Puller) receive(m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Reply != "" && !strings.HasPrefix(m.Reply, ackPrefix) {
		return // not a delivery; acknowledging it would publish to a foreign subject
	}
	if p.closed {
		if m.Reply != "" {
			giveBack(p.config.Conn, m)
		}
		return
	}
	p.missed = 0
	if m.Reply == "" {
		p.status(m)
		return
	}
	p.watchdog.Reset(2 * p.config.Heartbeat)
	p.buffer = append(p.buffer, Message{Msg: m, Arrived: time.Now()})
	p.bytes += m.Size()
	weight := p.config.Weigh(m)
	p.weight += weight
	p.mean += (float64(weight) - p.mean) / 16
	p.asked = max(p.asked-1, 0)
	p.signal()
	p.ask()
}

// request is the body of a pull request.
type request struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes,omitempty"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

// expiry returns the random expiry of the next request. The server serves the request that has
// waited longest. If all processes renewed their requests at the same time, one process would
// always be first, and a message that this process returns would always go back to it. The server
// refuses an expiry of less than two heartbeats.
func (p *Puller) expiry() time.Duration {
	least := max(p.config.Expiry/2, 2*p.config.Heartbeat)
	return p.config.Expiry - rand.N(max(p.config.Expiry-least, 1))
}

// ask requests as many messages as the buffer has room for, if at least half of the buffer is
// empty. The caller holds the lock.
func (p *Puller) ask() {
	room := p.config.Prefetch - p.weight - int(float64(p.asked)*p.mean)
	if p.closed || room < (p.config.Prefetch+1)/2 || p.config.MaxBytes > 0 && p.bytes >= p.config.MaxBytes {
		return
	}
	room = max(int(float64(room)/p.mean), 1)
	body, err := json.Marshal(request{Batch: room, MaxBytes: p.config.MaxBytes, Expires: p.expiry(), Heartbeat: p.config.Heartbeat})
	if err == nil {
		err = p.config.Conn.PublishRequest(p.next, p.inbox, body)
	}
	if err == nil {
		p.asked += room
	}
	p.watchdog.Reset(2 * p.config.Heartbeat) // even after an error, because the watchdog asks again
}
