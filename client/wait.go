package client

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// brief is the data of the requests of a Wait (transport.WaitQuery).
var brief = []byte(`{"brief":true}`)

// Wait returns when the saga has ended or is parked, and asks again and again
// until then: coordinators may restart and the bus may be away meanwhile. A
// parked saga waits for a person; Status.Legal says what can be done, and Wait
// may be called again afterwards.
//
// Errors: ErrInvalid, ErrNotFound; when ctx ends, ErrUnavailable and
// context.Cause(ctx), with the last known status, without steps, if there is one. The
// saga goes on all the same.
func (c *Client) Wait(ctx context.Context, id contract.SagaID) (*transport.Status, error) {
	return c.await(ctx, id, nil, time.Now())
}

// Run starts a saga and returns when it has ended or is parked: Start and Wait, in
// one request where that is possible. It is idempotent as Start is: whoever runs the
// same id with the same input again is told how the saga ended, with Status.Existed.
//
// Of runs that are under way at once, RunsPerStart times as many as Concurrency allows
// starts are one request each; further ones start in their turn and wait then.
//
// Errors: those of Start, and when ctx ends those of Wait: ErrUnavailable and
// context.Cause(ctx), with the last known status if there is one. Without one the
// saga may have been started; with one it was, and goes on all the same.
func (c *Client) Run(ctx context.Context, d Definition, input any, options ...StartOption) (*transport.Status, error) {
	began := time.Now()
	q, err := c.starting(transport.APIRun, d, input, options)
	if err != nil {
		return nil, err
	}
	var status *transport.Status
	select {
	case c.runs <- struct{}{}:
		q.hold = c.holdFor(ctx, 0)
		status, err = c.status(ctx, q)
		<-c.runs
	default:
		q.method = transport.APIStart
		status, err = c.status(ctx, q)
	}
	if err != nil || status.AtRest() {
		return status, err
	}
	end, err := c.await(ctx, q.envelope.Saga, status, began)
	if end != nil {
		end.Existed = status.Existed
	}
	return end, err
}

// await asks until the saga has come to rest; began is when the caller did.
func (c *Client) await(ctx context.Context, id contract.SagaID, last *transport.Status, began time.Time) (*transport.Status, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, time.Second
	for {
		asked := time.Now()
		hold := c.holdFor(ctx, asked.Sub(began))
		status, err := c.status(ctx, &call{method: transport.APIWait, envelope: transport.Envelope{Saga: id, Data: brief}, hold: hold, retryOverloaded: true})
		switch {
		case err != nil && last != nil && errors.Is(err, ErrUnavailable):
			return last, err
		case err != nil:
			return nil, err
		case status.AtRest():
			return status, nil
		}
		last = status
		if time.Since(asked) >= max(hold, c.poll)/2 {
			pause.Reset() // the coordinator held the request, as it should
			continue
		}
		// It answered at once: its clock is ahead of ours, or it holds as many
		// requests as it can.
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return last, &Error{
				Op: transport.APIWait, ID: id, Code: transport.CodeUnavailable,
				Reason: "the saga is still " + string(last.Phase), Err: context.Cause(ctx),
			}
		}
	}
}

// maxPolls is how many times as long as the first one the longest request is held.
const maxPolls = 8

// holdFor is how long the coordinator may hold a request: as long again as the
// caller has waited already, so that a hundred thousand who wait for long do not
// keep it busy with asking; and not longer than the caller waits, so that it still says
// where the saga stands.
func (c *Client) holdFor(ctx context.Context, waited time.Duration) time.Duration {
	hold := min(max(waited, c.poll), maxPolls*c.poll)
	end, ok := ctx.Deadline()
	if !ok {
		return hold
	}
	left := time.Until(end)
	return min(hold, max(left-left/8, time.Millisecond))
}
