//go:build linux && lab

package world

import (
	"net"
	"sync"
	"time"
)

// Proxy carries the traffic between one process and the NATS server. The address of the proxy stays
// the same wherever the server is. It can cut, block or slow down the traffic.
type Proxy struct {
	listener net.Listener
	done     sync.WaitGroup

	mu     sync.Mutex
	target string
	cutOff bool
	delay  time.Duration
	gates  [2]chan struct{} // by direction; nil if open; data waits until the channel is closed
	conns  map[net.Conn]struct{}
}

// The directions of a proxy.
const (
	ToServer = iota
	FromServer
)

// NewProxy returns a proxy without a target.
func NewProxy() (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, conns: map[net.Conn]struct{}{}}
	p.done.Go(p.accept)
	return p, nil
}

// URL returns the address of the proxy.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.connect(in) })
	}
}

// connect carries one connection until either side closes it.
func (p *Proxy) connect(in net.Conn) {
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
	both.Go(func() { p.carry(out, in, ToServer) })
	both.Go(func() { p.carry(in, out, FromServer) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// carry copies the data of one direction.
func (p *Proxy) carry(to, from net.Conn, direction int) {
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
				Hold(delay)
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

// Aim sets the address of the server.
func (p *Proxy) Aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Cut closes every connection and rejects new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutOff = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// Hush blocks one direction without closing connections.
func (p *Proxy) Hush(direction int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gates[direction] == nil {
		p.gates[direction] = make(chan struct{})
	}
}

// Slow delays all data in both directions.
func (p *Proxy) Slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// Heal ends all faults of the proxy.
func (p *Proxy) Heal() {
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

// Close closes the proxy.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Heal()
	p.Cut()
	p.done.Wait()
}
