package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
)

// call describes one request to the coordinator. It is passed by pointer, because a hundred
// thousand waiting callers should need little stack.
type call struct {
	method          string
	id              contract.SagaID    // the saga of the request, if it has one
	envelope        transport.Envelope // contains Data, and for a start or run also the attributes
	hold            time.Duration      // how long the coordinator may hold the request
	work            time.Duration      // how long the coordinator may work on the request, beyond what a short one takes
	once            bool               // must not be executed twice; not repeated if it may have arrived
	retryOverloaded bool               // whether it is repeated while the coordinator is overloaded
	moves           bool               // whether it changes a saga, and is therefore traced
}

// request does what Do does. request and response are pointers.
func (c *Client) request(ctx context.Context, method string, request, response any) error {
	kind, known := methods[method]
	if !known {
		return invalid(method, "", fmt.Errorf("the method is %q; use one of the api.Method constants, and Client.Start or Client.Run to start a saga", method))
	}
	if asked, answered := reflect.TypeOf(request).Elem(), reflect.TypeOf(response).Elem(); asked != kind.request || answered != kind.response {
		return invalid(method, "", fmt.Errorf("the types are %s and %s; this method has %s and %s", asked, answered, kind.request, kind.response))
	}
	id, hold := detailsOf(request)
	q, err := reading(method, id, request)
	if err != nil {
		return err
	}
	q.hold, q.work, q.once, q.retryOverloaded = hold, kind.work, !kind.repeatable, kind.repeatable
	q.moves = method == api.MethodOperate
	end := c.follow(ctx, q)
	err = c.do(ctx, q, response)
	if end != nil {
		end(err)
	}
	return err
}

// do waits for a free slot and sends the request. It repeats the request until there is a reply or
// ctx ends. It decodes the data of the reply into response.
func (c *Client) do(ctx context.Context, q *call, response any) error {
	if c.problem != nil {
		return invalid(q.method, q.id, c.problem)
	}
	if q.hold == 0 { // requests that the coordinator holds are not limited
		slots := c.others
		if q.method == api.MethodStart { // starts have their own slots, because a repeated start may take long
			slots = c.starts
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return notSent(ctx, q, cap(slots))
		}
	}
	var last error
	wait := &pauses{ExponentialBackOff: backoff.NewExponentialBackOff(), last: &last}
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	silent := silence{c: c, q: q}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if last = c.ask(ctx, q, response); last == nil {
			return struct{}{}, nil
		}
		return struct{}{}, silent.retryable(ctx, last)
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return nil
	}
	return silent.ended(err, last)
}

// notSent returns the error of a request that was still queued when ctx ended.
func notSent(ctx context.Context, q *call, most int) error {
	return &Error{
		Op: q.method, ID: q.id, Code: api.CodeUnavailable, Err: context.Cause(ctx),
		Reason: fmt.Sprintf("not sent: this client already has the maximum number of requests in flight (client.Concurrency, %d)", most),
	}
}

// ended returns the error of a request whose last attempt failed with the error last.
func (s *silence) ended(err, last error) error {
	q := s.q
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(last, &known): // ctx ended between two attempts
		if s.uncertain {
			known.Code = api.CodeUnavailable // an earlier attempt may have been executed
		}
		return &Error{Op: known.Op, ID: known.ID, Code: known.Code, Reason: known.Reason, RetryAfter: known.RetryAfter, Err: err}
	default:
		return &Error{Op: q.method, ID: q.id, Code: api.CodeUnavailable, Err: err}
	}
}

// silence tracks the time without replies.
type silence struct {
	c         *Client
	q         *call
	uncertain bool // whether an earlier attempt may have been executed
	since     time.Time
	line      *waiting.Line
}

// retryable returns the error of a failed attempt, as a backoff.Permanent error if the request must
// not be repeated.
func (s *silence) retryable(ctx context.Context, last error) error {
	switch {
	case !repeatable(last, s.q) && !(s.uncertain && errors.Is(last, ErrOverloaded)):
		return backoff.Permanent(last)
	case ctx.Err() == nil && s.tooLong(last):
		if known, ok := errors.AsType[*Error](last); ok {
			known.Reason = fmt.Sprintf("gave up after %s: %s", s.c.giveUp, known.Reason)
		}
		return backoff.Permanent(last)
	}
	s.uncertain = s.uncertain || errors.Is(last, ErrUnavailable) && !errors.Is(last, transport.ErrNoResponders)
	return last
}

// tooLong records the outcome of an attempt, and logs if no coordinator answers. It reports whether
// to give up.
func (s *silence) tooLong(last error) bool {
	switch {
	case !errors.Is(last, ErrUnavailable): // there was a reply
		s.since = time.Time{}
		return false
	case s.since.IsZero():
		s.since = time.Now()
		s.line = waiting.On(s.c.logger, "a coordinator that answers; is one running, on this bus and with this prefix?", s.c.giveUp, "request", s.q.method)
	}
	s.line.Still(last)
	return s.c.giveUp > 0 && time.Since(s.since) >= s.c.giveUp
}

// pauses is the backoff between attempts. It is the wait that the coordinator suggests, plus or
// minus one half, so that callers that were refused at the same time do not retry at the same time.
// Without a suggestion it increases exponentially.
type pauses struct {
	*backoff.ExponentialBackOff
	last *error // error of the last attempt
}

// NextBackOff implements backoff.BackOff.
func (p *pauses) NextBackOff() time.Duration {
	var refused *Error
	if errors.As(*p.last, &refused) && refused.RetryAfter > 0 {
		return refused.RetryAfter/2 + rand.N(refused.RetryAfter+1)
	}
	return p.ExponentialBackOff.NextBackOff()
}

// repeatable reports whether the request may be sent again.
func repeatable(err error, q *call) bool {
	switch {
	case errors.Is(err, transport.ErrClosed):
		return false
	case errors.Is(err, ErrOverloaded): // without a suggested wait, repeating the request is useless
		var refused *Error
		return q.retryOverloaded && errors.As(err, &refused) && refused.RetryAfter > 0
	case errors.Is(err, ErrUnavailable):
		return !q.once || errors.Is(err, transport.ErrNoResponders)
	}
	return false
}

// ask sends the request once and waits for the reply.
func (c *Client) ask(ctx context.Context, q *call, response any) error {
	limit := c.timeout + q.hold + q.work
	attempt, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	now := time.Now()
	e := q.envelope
	e.Subject = c.subjects.API(q.method)
	e.ID = uuid.NewString()
	e.Source = "/amends/client"
	e.Type = transport.TypeRequest
	e.Time = now
	e.Expires = now.Add(limit)
	if q.method == api.MethodRun {
		e.Expires = now.Add(q.hold)
	}
	answer, err := c.bus.Request(attempt, &e)
	return outcome(q, e.Subject, answer, err, response)
}

// outcome decodes the reply to a request into response, or returns what the request failed with. It is
// not a part of ask, so that a waiting caller needs little stack.
func outcome(q *call, subject string, answer *transport.Envelope, err error, response any) error {
	failure := &Error{Op: q.method, ID: q.id}
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		failure.Code, failure.Err = api.CodeInvalidArgument, err
		return failure
	case err != nil:
		failure.Code, failure.Err = api.CodeUnavailable, err
		failure.Reason = "the request may or may not have been executed"
		if errors.Is(err, transport.ErrNoResponders) {
			failure.Reason = fmt.Sprintf("nobody serves %s; is the coordinator running, on this bus and with this prefix?", subject)
		}
		return failure
	case answer.Code != "":
		failure.Code, failure.Reason, failure.RetryAfter = api.Code(answer.Code), answer.Reason, answer.RetryAfter
		var more api.Refusal
		if json.Unmarshal(answer.Data, &more) == nil { // most refusals have no details
			failure.Legal, failure.Violations, failure.Revision = more.Legal, more.Violations, more.Revision
		}
		return failure
	}
	if err := json.Unmarshal(answer.Data, response); err != nil {
		return otherRelease(q, err)
	}
	return nil
}

// otherRelease returns the error of a reply that cannot be decoded.
func otherRelease(q *call, err error) error {
	return &Error{
		Op: q.method, ID: q.id, Code: api.CodeInternal, Err: err,
		Reason: "cannot decode the reply; client and coordinator may be of different releases",
	}
}
