package participant

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// publishTries is how often an answer is offered to the bus before its command is
// given back, so that what the bus never takes does not hold a place for ever.
const publishTries = 10

// publish sends answers in batches, as many as have gathered while the last batch
// was on its way, and acknowledges their commands. What the bus does not take is
// tried again, publishTries times and until ctx ends; then it is left, and its
// command comes again.
func (r *runner[Tx]) publish(ctx context.Context) {
	pause := newBackoff()
	pause.MaxInterval = time.Second // while it waits its places are taken, and nothing is served
	var batch []*flight
	for {
		var more bool
		batch, more = r.gather(batch)
		if !more {
			return
		}
		if ctx.Err() == nil {
			batch = r.send(ctx, batch)
		}
		switch {
		case ctx.Err() != nil:
			for _, h := range batch {
				r.held.remove(h)
			}
			batch = nil
		case len(batch) == 0:
			pause.Reset()
		default:
			batch = r.linger(ctx, pause.NextBackOff(), batch)
		}
	}
}

// linger waits before a refused batch is tried again, but not when there is
// something new to send: it may be this batch that the bus does not want.
func (r *runner[Tx]) linger(ctx context.Context, d time.Duration, batch []*flight) []*flight {
	timer := time.NewTimer(d)
	defer timer.Stop()
	answers := r.answers
	for {
		select {
		case h, open := <-answers:
			if open {
				return append(batch, h)
			}
			answers = nil
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
}

// gather adds to the batch what is there, and waits for the first if it is
// empty. more is false when there is nothing to send and nothing will come.
func (r *runner[Tx]) gather(batch []*flight) (_ []*flight, more bool) {
	if len(batch) == 0 {
		h, open := <-r.answers
		if !open {
			return nil, false
		}
		batch = append(batch, h)
	}
	for {
		select {
		case h, open := <-r.answers:
			if !open {
				return batch, true
			}
			batch = append(batch, h)
		default:
			return batch, true
		}
	}
}

// send publishes a batch, acknowledges what the bus took, and returns the rest.
func (r *runner[Tx]) send(ctx context.Context, batch []*flight) (rest []*flight) {
	envelopes := make([]transport.Envelope, len(batch))
	for i, h := range batch {
		envelopes[i] = *h.answer
	}
	errs := r.bus.Publish(ctx, envelopes)
	if errs == nil {
		errs = make([]error, len(batch))
	}
	for i, h := range batch {
		err := errs[i]
		switch {
		case err == nil:
			h.delivery.Ack()
			r.held.remove(h)
			continue
		case errors.Is(err, transport.ErrClosed):
			r.held.remove(h)
			continue
		case errors.Is(err, transport.ErrTooLarge) && len(h.answer.Data) == 0:
			r.deadLetter(ctx, h, "the answer is too large for the bus: "+h.answer.Reason)
			r.held.remove(h)
			continue
		case errors.Is(err, transport.ErrTooLarge):
			h.answer = tooLarge(h.answer)
		}
		if h.refused++; h.refused == publishTries {
			h.delivery.Nak(5 * time.Second)
			r.held.remove(h)
			r.p.log(h.answer).Warn("cannot publish the answer, its command will come again", LogError, err)
			continue
		}
		rest = append(rest, h)
	}
	return rest
}

// tooLarge stands in for an answer that the bus does not carry. The step was
// done and is recorded; its undo will find the result in the inbox.
func tooLarge(answer *transport.Envelope) *transport.Envelope {
	e := *answer
	e.DedupID = uuid.NewString()
	e.ID += "/too-large"
	e.Type = transport.TypeFailed
	e.Final = true
	e.Reason = contract.ClassBadResult + ": the result is larger than the bus carries: put large data elsewhere and answer with its address"
	e.Data, e.ContentType = nil, ""
	return &e
}
