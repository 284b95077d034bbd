package participant

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// publishTries is the maximum number of tries to publish an answer. After that its command is
// handed back, so that an answer that the bus never accepts does not occupy a slot for ever.
const publishTries = 10

// publish sends answers in batches and acknowledges their commands. Each batch contains the answers
// that arrived while the previous batch was being sent. A refused answer is retried up to
// publishTries times and until ctx ends. After that, its command is redelivered.
func (r *runner[Tx]) publish(ctx context.Context) {
	pause := newBackoff()
	pause.MaxInterval = time.Second // waiting answers occupy slots, which reduces the throughput
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

// linger waits before a refused batch is retried. It returns early if there is a new answer,
// because the bus may accept the new answer.
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

// gather appends all waiting answers to the batch. If the batch is empty, it waits for an answer.
// It returns more as false once the batch is empty and the channel is closed.
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

// send publishes a batch and acknowledges the commands whose answers were accepted. It returns the
// elements that must be sent again.
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
			r.p.log(h.answer).Warn("cannot publish the answer; its command will be redelivered", LogError, err)
			continue
		}
		rest = append(rest, h)
	}
	return rest
}

// tooLarge returns a final failure that replaces an answer that exceeds the bus's limit. The step
// is done and recorded, so its undo finds the result in the inbox.
func tooLarge(answer *transport.Envelope) *transport.Envelope {
	e := *answer
	e.DedupID = uuid.NewString()
	e.ID += "/too-large"
	e.Type = transport.TypeFailed
	e.Final = true
	e.Reason = contract.ClassBadResult + ": the result is larger than the bus allows: store large data elsewhere and return a reference"
	e.Data, e.ContentType = nil, ""
	return &e
}
