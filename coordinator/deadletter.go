package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// errNoOffice: the bus keeps no dead letters that could be looked through.
var errNoOffice = errors.New("the dead letters of this bus cannot be looked through; use the bus's own tools")

// deadLetters is a page of dead letters.
func (s *service) deadLetters(ctx context.Context, q *transport.DeadLettersQuery) (*transport.DeadLettersReply, error) {
	office, ok := s.c.config.Bus.(transport.DeadLetterOffice)
	if !ok {
		return nil, errNoOffice
	}
	if q.Limit < 0 || q.Limit > transport.MaxDeadLetters {
		return nil, violation("limit", fmt.Sprintf("is %d; use 1 to %d, or 0 for 100", q.Limit, transport.MaxDeadLetters))
	}
	limit := cmp.Or(q.Limit, 100)
	letters, err := office.ListDeadLetters(ctx, q.After, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	reply := &transport.DeadLettersReply{DeadLetters: make([]transport.DeadLetterReply, 0, len(letters))}
	size := frameRoom
	for i := range letters {
		letter := deadLetterReply(&letters[i])
		if size += encoded(&letter) + 1; size > maxReply && i > 0 {
			reply.Next = letters[i-1].Sequence
			return reply, nil
		}
		reply.DeadLetters = append(reply.DeadLetters, letter)
	}
	if len(letters) == limit {
		reply.Next = letters[len(letters)-1].Sequence
	}
	return reply, nil
}

// deadLetterReply tells a dead letter: its data as bytes, its texts as UTF-8. Data that
// does not fit into a reply is left out.
func deadLetterReply(l *transport.DeadLetter) transport.DeadLetterReply {
	reply := transport.DeadLetterReply{
		Sequence: l.Sequence, Stream: transport.Stream(valid(string(l.Stream))), Subject: valid(l.Subject), Reason: valid(l.Reason), Since: l.Time,
		Data: *payload(l.Data, "", false),
	}
	if len(l.Header) > 0 {
		reply.Header = make(map[string][]string, len(l.Header))
	}
	for name, values := range l.Header {
		for _, v := range values {
			reply.Header[valid(name)] = append(reply.Header[valid(name)], valid(v))
		}
	}
	if encoded(&reply) > maxReply-frameRoom {
		reply.Data = *payload(l.Data, "", true)
	}
	return reply
}

// valid is a text of the bus's as UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// replayDeadLetters publishes dead letters again and removes them.
func (s *service) replayDeadLetters(ctx context.Context, q *transport.DeadLettersRequest) (*transport.DeadLettersDone, error) {
	return s.eachDeadLetter(ctx, q, "replayed", transport.DeadLetterOffice.ReplayDeadLetter)
}

// discardDeadLetters removes dead letters.
func (s *service) discardDeadLetters(ctx context.Context, q *transport.DeadLettersRequest) (*transport.DeadLettersDone, error) {
	return s.eachDeadLetter(ctx, q, "discarded", transport.DeadLetterOffice.DiscardDeadLetter)
}

// eachDeadLetter does one thing to every dead letter that is named, and says what
// went wrong with which. did is what it did, for the log.
func (s *service) eachDeadLetter(
	ctx context.Context, q *transport.DeadLettersRequest, did string, do func(transport.DeadLetterOffice, context.Context, uint64) error,
) (*transport.DeadLettersDone, error) {
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	office, ok := s.c.config.Bus.(transport.DeadLetterOffice)
	if !ok {
		return nil, errNoOffice
	}
	if len(q.Sequences) == 0 || len(q.Sequences) > transport.MaxDeadLetters {
		return nil, violation("sequences", fmt.Sprintf("has %d; name 1 to %d dead letters, as the list shows them", len(q.Sequences), transport.MaxDeadLetters))
	}
	reply := &transport.DeadLettersDone{}
	for _, n := range q.Sequences {
		switch err := do(office, ctx, n); {
		case err == nil:
			reply.Done = append(reply.Done, n)
		case ctx.Err() != nil:
			reply.Failed = append(reply.Failed, transport.FailedDeadLetter{Sequence: n, Problem: "the time for one request is over; name it again: " + err.Error()})
		default:
			reply.Failed = append(reply.Failed, transport.FailedDeadLetter{Sequence: n, Problem: err.Error()})
		}
	}
	s.c.config.Logger.InfoContext(ctx, "dead letters "+did, LogBy, brief(q.By), "sequences", reply.Done, "failed", len(reply.Failed))
	return reply, nil
}

// maxPart bounds the part of a reason that a purge looks for.
const maxPart = 1024

// purgeDeadLetters removes the dead letters that match, or counts them.
func (s *service) purgeDeadLetters(ctx context.Context, q *transport.PurgeDeadLettersRequest) (*transport.PurgeDeadLettersReply, error) {
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	office, ok := s.c.config.Bus.(transport.DeadLetterOffice)
	if !ok {
		return nil, errNoOffice
	}
	if err := checkPurge(q); err != nil {
		return nil, err
	}
	which := transport.DeadLetterFilter{Stream: q.Stream, Participant: q.Participant, Reason: q.Reason, After: q.After}
	if q.OlderThanMs > 0 {
		which.Before = s.c.config.Clock().Add(-time.Duration(q.OlderThanMs) * time.Millisecond)
	}
	matched, next, err := office.PurgeDeadLetters(ctx, which, q.DryRun)
	if !q.DryRun {
		s.c.config.Logger.InfoContext(ctx, "dead letters purged", LogBy, brief(q.By), "matched", matched,
			"stream", string(q.Stream), "participant", q.Participant, LogReason, q.Reason, "before", which.Before)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return &transport.PurgeDeadLettersReply{Matched: matched, Next: next}, nil
}

// purgeGiven refuses a filter that is wider than it looks.
func purgeGiven(data []byte) error {
	var wrong violations
	wrong.emptyFields(data, "by")
	return wrong.err()
}

// checkPurge refuses what matches nothing, and what matches everything without being
// asked for.
func checkPurge(q *transport.PurgeDeadLettersRequest) error {
	var wrong violations
	if q.Stream != "" && !slices.Contains(transport.Streams[:], q.Stream) {
		wrong.add("stream", fmt.Sprintf("%q is none; use commands, events or lifecycle", brief(string(q.Stream))))
	}
	if q.Participant != "" {
		if err := contract.CheckName("participant", q.Participant); err != nil {
			wrong.add("participant", err.Error()+"; the dead letters of messages without a participant are of "+transport.UnknownParticipant)
		}
	}
	if len(q.Reason) > maxPart {
		wrong.add("reason", fmt.Sprintf("has %d bytes, at most %d", len(q.Reason), maxPart))
	}
	if q.OlderThanMs < 0 || q.OlderThanMs > int64(maxAge/time.Millisecond) {
		wrong.add("older_than", fmt.Sprintf("is %d ms; use up to %s", q.OlderThanMs, maxAge))
	}
	filtered := q.Stream != "" || q.Participant != "" || q.Reason != "" || q.OlderThanMs != 0
	switch {
	case !filtered && !q.All:
		wrong.add("all", "no filter is given: to remove all dead letters, say so with all")
	case filtered && q.All:
		wrong.add("all", "is for all dead letters, and there is a filter too: leave one out")
	}
	return wrong.err()
}

// maxAge bounds the age of dead letters that a purge asks for.
const maxAge = 10 * 366 * 24 * time.Hour
