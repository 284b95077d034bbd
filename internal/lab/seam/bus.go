package seam

import (
	"context"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// Bus wraps a bus that has just connected.
func Bus(b *natsbus.Bus) *Carrier {
	crashpoint.Here(crashpoint.After("bus", "Connect"))
	return &Carrier{b}
}

// Carrier is a wrapped bus.
type Carrier struct{ *natsbus.Bus }

// Publish implements transport.Bus.
func (b *Carrier) Publish(ctx context.Context, batch []transport.Envelope) []error {
	defer around("bus", "Publish")()
	errs := b.Bus.Publish(ctx, batch)
	if errs != nil {
		crashpoint.Here(crashpoint.After("bus", "refused Publish"))
	}
	return errs
}

// Subscribe implements transport.Bus.
func (b *Carrier) Subscribe(ctx context.Context, s transport.Subscription) (transport.Source, error) {
	defer around("bus", "Subscribe")()
	opened, err := b.Bus.Subscribe(ctx, s)
	if err != nil {
		return nil, err
	}
	return source{opened, opened.(transport.Tracker)}, nil //nolint:errcheck // the sources of natsbus are Trackers; this is a laboratory
}

// Respond implements transport.Responder.
func (b *Carrier) Respond(subject, queue string, handle func(*transport.Envelope, func(*transport.Envelope))) (stop func(), err error) {
	defer around("bus", "Respond")()
	return b.Bus.Respond(subject, queue, func(request *transport.Envelope, reply func(*transport.Envelope)) {
		defer around("request", "Handle")()
		handle(request, func(e *transport.Envelope) {
			defer around("request", "Reply")()
			reply(e)
		})
	})
}

// Provide implements transport.Provisioner.
func (b *Carrier) Provide(ctx context.Context, participant string, q api.SubscribeRequest) (api.SubscribeResponse, error) {
	defer around("bus", "Provide")()
	return b.Bus.Provide(ctx, participant, q)
}

// Expect implements transport.Provisioner.
func (b *Carrier) Expect(participants []string) {
	defer around("bus", "Expect")()
	b.Bus.Expect(participants)
}

// Load implements transport.Scale.
func (b *Carrier) Load(ctx context.Context) (transport.Load, error) {
	defer around("bus", "Load")()
	return b.Bus.Load(ctx)
}

// Check implements transport.Checker.
func (b *Carrier) Check(ctx context.Context) error {
	defer around("bus", "Check")()
	return b.Bus.Check(ctx)
}

// ListDeadLetters implements transport.DeadLetterOffice.
func (b *Carrier) ListDeadLetters(ctx context.Context, after uint64, limit int) ([]transport.DeadLetter, error) {
	defer around("bus", "ListDeadLetters")()
	return b.Bus.ListDeadLetters(ctx, after, limit)
}

// ReplayDeadLetter implements transport.DeadLetterOffice.
func (b *Carrier) ReplayDeadLetter(ctx context.Context, sequence uint64) error {
	defer around("bus", "ReplayDeadLetter")()
	return b.Bus.ReplayDeadLetter(ctx, sequence)
}

// Close closes the bus.
func (b *Carrier) Close() error {
	defer around("bus", "Close")()
	return b.Bus.Close()
}

type source struct {
	transport.Source
	transport.Tracker
}

func (s source) Receive(ctx context.Context, most int) ([]transport.Delivery, error) {
	defer around("source", "Receive")()
	batch, err := s.Source.Receive(ctx, most)
	for i := range batch {
		batch[i] = delivery{batch[i]}
	}
	return batch, err
}

func (s source) Close() error {
	defer around("source", "Close")()
	return s.Source.Close()
}

type delivery struct{ transport.Delivery }

func (d delivery) Ack() {
	defer around("delivery", "Ack")()
	d.Delivery.Ack()
}

func (d delivery) DeadLetter(ctx context.Context, reason string) error {
	defer around("delivery", "DeadLetter")()
	return d.Delivery.DeadLetter(ctx, reason)
}

// Claims wraps the registry of claims, in which a store records its ownership of a prefix.
func Claims(r ownership.Registry) ownership.Registry { return claims{r} }

type claims struct{ ownership.Registry }

func (c claims) Read(ctx context.Context) (ownership.Entry, error) {
	defer around("claim", "Read")()
	return c.Registry.Read(ctx)
}

func (c claims) Write(ctx context.Context, claim *ownership.Claim, over ownership.Position) (ownership.Position, error) {
	defer around("claim", "Write")()
	return c.Registry.Write(ctx, claim, over)
}

func (c claims) Confirm(ctx context.Context, at ownership.Position) error {
	defer around("claim", "Confirm")()
	return c.Registry.Confirm(ctx, at)
}
