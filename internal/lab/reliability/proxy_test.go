//go:build linux && lab

package reliability

import (
	"net"
	"sync"
	"time"
)

// proxy is the road of one process to the NATS server. Its address stays the same
// wherever the server is; what travels can be cut off, held up or slowed down.
type proxy struct {
	listener net.Listener
	done     sync.WaitGroup

	mu     sync.Mutex
	target string
	cutOff bool
	delay  time.Duration
	gates  [2]chan struct{} // to the server, from it; nil: open. Closed when it opens
	conns  map[net.Conn]struct{}
}

// Directions of a proxy.
const (
	toServer = iota
	fromServer
)

func newProxy() (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, conns: map[net.Conn]struct{}{}}
	p.done.Go(p.accept)
	return p, nil
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.connect(in) })
	}
}

// connect carries one connection until either side closes it.
func (p *proxy) connect(in net.Conn) {
	defer in.Close()
	p.mu.Lock()
	target, cutOff := p.target, p.cutOff
	p.mu.Unlock()
	if cutOff || target == "" {
		return
	}
	out, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		return
	}
	defer out.Close()
	p.mu.Lock()
	if p.cutOff {
		p.mu.Unlock()
		return
	}
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.carry(out, in, toServer) })
	both.Go(func() { p.carry(in, out, fromServer) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// carry copies one direction.
func (p *proxy) carry(to, from net.Conn, direction int) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.mu.Lock()
			gate, delay := p.gates[direction], p.delay
			p.mu.Unlock()
			if gate != nil {
				<-gate
			}
			if delay > 0 {
				hold(delay)
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// aim says where the server is.
func (p *proxy) aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// cut closes every connection and takes no new one.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutOff = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// hush holds up one direction without a word to anybody.
func (p *proxy) hush(direction int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gates[direction] == nil {
		p.gates[direction] = make(chan struct{})
	}
}

// slow delays everything that is read, in both directions.
func (p *proxy) slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// heal ends every fault.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutOff, p.delay = false, 0
	for i, gate := range p.gates {
		if gate != nil {
			close(gate)
			p.gates[i] = nil
		}
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.heal()
	p.cut()
	p.done.Wait()
}
