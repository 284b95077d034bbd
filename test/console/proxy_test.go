//go:build lab

package console_test

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy forwards to the coordinator and can hang: it then accepts connections but returns no data,
// like a suspended process.
type proxy struct {
	url string

	mu    sync.Mutex
	gate  *sync.Cond
	shut  bool
	leads string // address to forward to
	conns []net.Conn
}

func (w *world) proxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: "http://" + l.Addr().String(), leads: strings.TrimPrefix(w.HTTP, "http://")}
	p.gate = sync.NewCond(&p.mu)
	t.Cleanup(func() { _ = l.Close(); p.hang(false) })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			far, err := net.Dial("tcp", p.leads)
			if err != nil {
				p.mu.Unlock()
				_ = near.Close()
				continue
			}
			p.conns = append(p.conns, near, far)
			p.mu.Unlock()
			go p.pass(near, far)
			go p.pass(far, near)
		}
	}()
	return p
}

// pass copies data unless the proxy hangs.
func (p *proxy) pass(from, to net.Conn) {
	defer func() { _ = to.Close() }()
	data := make([]byte, 32<<10)
	for {
		n, err := from.Read(data)
		p.mu.Lock()
		for p.shut {
			p.gate.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(data[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) hang(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = yes
	p.gate.Broadcast()
}

// leadTo closes all connections and forwards to a different coordinator from now on, as if that
// coordinator had been started on the same port.
func (p *proxy) leadTo(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leads = strings.TrimPrefix(url, "http://")
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
