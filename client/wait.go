package client

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
)

// Wait returns when the saga has ended or is parked. Until then it repeats its request, even if
// coordinators restart. It gives up if no coordinator has answered for the time GiveUp. A parked
// saga waits for an operator. Saga.Legal lists the legal operations, and Wait can be called again
// after an operation.
//
// On failure, Wait returns ErrInvalid or ErrNotFound. If ctx ends, it returns ErrUnavailable and
// context.Cause(ctx) in one error, and the last known state, if any, without steps. The saga
// continues.
func (c *Client) Wait(ctx context.Context, id contract.SagaID) (*api.Saga, error) {
	return c.await(ctx, id, nil, time.Now())
}

// Run starts a saga and returns when it has ended or is parked. If possible, it combines Start and
// Wait in one request. Like Start, it is idempotent: running the same id with the same input again
// returns the outcome of the existing saga and sets Saga.Existed. Existed is also set if the saga
// was started by an earlier attempt of this call whose reply was lost. The saga does not include
// its input.
//
// A limited number of concurrent runs (RunsPerStart) use a single request each. Further runs queue
// for a start and then wait.
//
// On failure, Run returns the errors of Start. If ctx ends, it returns ErrUnavailable and
// context.Cause(ctx) in one error, and the last known state, if any. With a state, the saga was
// started and continues. Without a state, the saga may have been started.
func (c *Client) Run(ctx context.Context, d Definition, input any, options ...StartOption) (*api.Saga, error) {
	began := time.Now()
	q, err := c.starting(api.MethodRun, d, input, options)
	if err != nil {
		return nil, err
	}
	var saga *api.Saga
	select {
	case c.runs <- struct{}{}:
		q.hold = c.holdFor(ctx, 0)
		saga, err = c.saga(ctx, q)
		<-c.runs
	default:
		q.method = api.MethodStart
		saga, err = c.saga(ctx, q)
	}
	if err != nil || saga.AtRest() {
		return saga, err
	}
	end, err := c.await(ctx, q.id, saga, began)
	if end != nil {
		end.Existed, end.Input = saga.Existed, nil // as in the response to a single request
	}
	return end, err
}

// await repeats a Wait request until the saga has ended or is parked. began is the time at which
// the caller called Wait or Run.
func (c *Client) await(ctx context.Context, id contract.SagaID, last *api.Saga, began time.Time) (*api.Saga, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, time.Second
	for {
		asked := time.Now()
		hold := c.holdFor(ctx, asked.Sub(began))
		q, err := reading(api.MethodWait, id, &api.WaitRequest{ID: id, Timeout: api.For(hold), Brief: true})
		if err != nil {
			return nil, err
		}
		q.hold = hold
		saga, err := c.saga(ctx, q)
		switch {
		case err != nil && last != nil && errors.Is(err, ErrUnavailable):
			return last, err
		case err != nil:
			return nil, err
		case saga.AtRest():
			return saga, nil
		}
		last = saga
		if time.Since(asked) >= max(hold, c.poll)/2 {
			pause.Reset() // the coordinator has held the request as expected
			continue
		}
		// The coordinator replied at once, because it already holds the maximum number of requests.
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return last, &Error{
				Op: api.MethodWait, ID: id, Code: api.CodeUnavailable,
				Reason: "the saga is still " + string(last.Phase), Err: context.Cause(ctx),
			}
		}
	}
}

// Limits on how long a request is held.
const (
	maxPolls    = 8                // as a multiple of PollInterval
	maxHold     = time.Minute      // the limit of the coordinator
	defaultHold = 10 * time.Second // of the coordinator, for a request without a timeout
)

// holdFor returns how long the coordinator may hold a request. This time is as long as the caller
// has already waited, so that long waits cause few requests. It ends before the caller's deadline,
// so that a reply still arrives.
func (c *Client) holdFor(ctx context.Context, waited time.Duration) time.Duration {
	hold := min(max(waited, c.poll), maxPolls*c.poll, maxHold)
	end, ok := ctx.Deadline()
	if !ok {
		return hold
	}
	left := time.Until(end)
	return min(hold, max(left-left/8, time.Millisecond))
}
