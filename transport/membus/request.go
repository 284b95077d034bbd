package membus

import (
	"context"
	"slices"
	"sync"

	"github.com/amends-dev/amends/transport"
)

type responder struct {
	subject, queue string
	handle         func(*transport.Envelope, func(*transport.Envelope))
}

// Request implements transport.Requester. The handler runs in the goroutine of the caller.
func (b *Bus) Request(ctx context.Context, request *transport.Envelope) (*transport.Envelope, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	r := b.pick(request.Subject)
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return nil, transport.ErrClosed
	}
	if r == nil {
		return nil, transport.ErrNoResponders
	}
	replies := make(chan *transport.Envelope, 1)
	var once sync.Once
	asked := copyOf(request)
	r.handle(asked, func(reply *transport.Envelope) {
		once.Do(func() { replies <- copyOf(reply) })
	})
	select {
	case reply := <-replies:
		return reply, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pick selects a responder of a subject, round robin.
func (b *Bus) pick(subject string) *responder {
	var serving []*responder
	for _, r := range b.responders {
		if transport.Matches(r.subject, subject) {
			serving = append(serving, r)
		}
	}
	if len(serving) == 0 {
		return nil
	}
	b.turn++
	return serving[b.turn%len(serving)]
}

// Respond implements transport.Responder.
func (b *Bus) Respond(subject, queue string, handle func(*transport.Envelope, func(*transport.Envelope))) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, transport.ErrClosed
	}
	r := &responder{subject: subject, queue: queue, handle: handle}
	b.responders = append(b.responders, r)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.responders = slices.DeleteFunc(b.responders, func(x *responder) bool { return x == r })
	}, nil
}

func copyOf(e *transport.Envelope) *transport.Envelope {
	c := *e
	c.Data = slices.Clone(e.Data)
	return &c
}
