package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
)

// call is one question to the coordinator. It is handed on by its address: a hundred
// thousand callers who wait have it on their stacks once, or not at all.
type call struct {
	method          string
	envelope        transport.Envelope // Saga, Definition, Data and what else the method takes
	hold            time.Duration      // how long the coordinator may hold it on purpose
	once            bool               // carrying it out twice could do harm: do not repeat what may have arrived
	retryOverloaded bool               // repeat it as well when the coordinator is overloaded
	moves           bool               // it moves a saga: a Tracer follows it
}

// do asks, when it is its turn, until there is an answer, and reads the reply's data
// into reply. What nobody answered is asked again until ctx ends.
func (c *Client) do(ctx context.Context, q *call, reply any) error {
	if err := transport.CheckPrefix(c.subjects.Prefix); err != nil {
		return invalid(q.method, q.envelope.Saga, err)
	}
	if q.hold == 0 { // others are held on purpose
		slots := c.others
		if q.method == transport.APIStart { // one that is repeated may take long
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
		if last = c.ask(ctx, q, reply); last == nil {
			return struct{}{}, nil
		}
		return struct{}{}, silent.judge(ctx, last)
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return nil
	}
	return silent.ended(err, last)
}

// notSent is the error of a request whose turn did not come.
//
//go:noinline
func notSent(ctx context.Context, q *call, most int) error {
	return &Error{
		Op: q.method, ID: q.envelope.Saga, Code: transport.CodeUnavailable, Err: context.Cause(ctx),
		Reason: fmt.Sprintf("it was not sent: this client already has as many requests in flight as it may (client.Concurrency, %d)", most),
	}
}

// ended is the error of a request that is over; last is that of the last attempt.
//
//go:noinline
func (s *silence) ended(err, last error) error {
	q := s.q
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(last, &known): // ctx ended between two attempts
		if s.uncertain {
			known.Code = transport.CodeUnavailable // a refusal says nothing about the request before it
		}
		return &Error{Op: known.Op, ID: known.ID, Code: known.Code, Reason: known.Reason, RetryAfter: known.RetryAfter, Err: err}
	default:
		return &Error{Op: q.method, ID: q.envelope.Saga, Code: transport.CodeUnavailable, Err: err}
	}
}

// silence is a time in which nobody answers a request.
type silence struct {
	c         *Client
	q         *call
	uncertain bool // an earlier request may have been carried out
	since     time.Time
	line      *waiting.Line
}

// judge decides whether a request that has failed is repeated. It has a frame of its own, so
// that a caller who waits for an answer has little on the stack (bench.TestWaitingTakesLittle).
//
//go:noinline
func (s *silence) judge(ctx context.Context, last error) error {
	switch {
	case !repeatable(last, s.q) && !(s.uncertain && errors.Is(last, ErrOverloaded)):
		return backoff.Permanent(last)
	case ctx.Err() == nil && s.tooLong(last):
		return backoff.Permanent(fmt.Errorf("gave up after %s: %w", s.c.giveUp, last))
	}
	s.uncertain = s.uncertain || errors.Is(last, ErrUnavailable) && !errors.Is(last, transport.ErrNoResponders)
	return last
}

// tooLong takes in what came of a request, says that it is waited for an answer, and reports
// whether it is given up.
func (s *silence) tooLong(last error) bool {
	switch {
	case !errors.Is(last, ErrUnavailable): // somebody has answered
		s.since = time.Time{}
		return false
	case s.since.IsZero():
		s.since = time.Now()
		s.line = waiting.On(s.c.logger, "a coordinator that answers; is one running, on this bus and with this prefix?", s.c.giveUp, "request", s.q.method)
	}
	s.line.Still(last)
	return s.c.giveUp > 0 && time.Since(s.since) >= s.c.giveUp
}

// pauses are between two requests for the same: as the coordinator says, give or
// take a half, so that those who were refused together do not come back together;
// else longer and longer.
type pauses struct {
	*backoff.ExponentialBackOff
	last *error // why the request is repeated
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
	case errors.Is(err, ErrOverloaded):
		return q.retryOverloaded
	case errors.Is(err, ErrUnavailable):
		return !q.once || errors.Is(err, transport.ErrNoResponders)
	}
	return false
}

// ask sends the request once.
func (c *Client) ask(ctx context.Context, q *call, reply any) error {
	limit := c.timeout + q.hold
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
	if q.hold > 0 {
		e.Expires = now.Add(q.hold)
	}
	answer, err := c.bus.Request(attempt, &e)
	failure := &Error{Op: q.method, ID: e.Saga}
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		failure.Code, failure.Err = transport.CodeInvalidArgument, err
		return failure
	case err != nil:
		failure.Code, failure.Err = transport.CodeUnavailable, err
		failure.Reason = "it may or may not have been carried out"
		if errors.Is(err, transport.ErrNoResponders) {
			failure.Reason = fmt.Sprintf("nobody serves %s; is the coordinator running, on this bus and with this prefix?", e.Subject)
		}
		return failure
	case answer.Code != "":
		failure.Code, failure.Reason, failure.RetryAfter = transport.Code(answer.Code), answer.Reason, answer.RetryAfter
		var more transport.Refusal
		if json.Unmarshal(answer.Data, &more) == nil { // most refusals have none
			failure.Legal = more.Legal
		}
		return failure
	}
	if err := json.Unmarshal(answer.Data, reply); err != nil {
		failure.Code, failure.Err = transport.CodeInternal, err
		failure.Reason = "the reply cannot be read; client and coordinator are of different releases"
		return failure
	}
	return nil
}
