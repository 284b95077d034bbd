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
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// errNoOffice means that the bus cannot list its dead letters.
var errNoOffice = errors.New("the dead letters of this bus cannot be looked through; use the bus's own tools")

// deadLetters returns a page of dead letters.
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

// deadLetterReply converts a dead letter for a reply: data as bytes, and text as valid UTF-8. It
// leaves out data that does not fit into a reply.
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

// valid converts a text from the bus to valid UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// replayDeadLetters publishes dead letters again and removes them.
func (s *service) replayDeadLetters(ctx context.Context, q *transport.DeadLettersRequest) (*transport.DeadLettersDone, error) {
	return s.eachDeadLetter(ctx, q, "replayed", transport.DeadLetterOffice.ReplayDeadLetter)
}

// discardDeadLetters removes dead letters.
func (s *service) discardDeadLetters(ctx context.Context, q *transport.DeadLettersRequest) (*transport.DeadLettersDone, error) {
	return s.eachDeadLetter(ctx, q, "discarded", transport.DeadLetterOffice.DiscardDeadLetter)
}

// eachDeadLetter calls do for every dead letter in the request, and returns the errors by sequence.
// did names the operation in the log.
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

// maxPart bounds the substring of a reason that a purge searches for.
const maxPart = 1024

// purgeDeadLetters removes the dead letters that match, or only counts them.
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

// purgeGiven refuses a filter with empty fields. Such a filter would match more than intended.
func purgeGiven(data []byte) error {
	var wrong violations
	wrong.emptyFields(data, "by")
	return wrong.err()
}

// checkPurge refuses a filter that can match nothing. It also refuses one that matches everything,
// unless the request asks for that explicitly.
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

// maxAge bounds the age of dead letters in a purge.
const maxAge = 10 * 366 * 24 * time.Hour

// orphans returns the keys in a participant's inbox whose outcome the coordinator does not know,
// for example after an older store was restored.
func (s *service) orphans(ctx context.Context, q *transport.OrphansQuery) (*transport.OrphansReply, error) {
	if n := len(q.Keys); n == 0 || n > transport.MaxOrphanKeys {
		return nil, violation("keys", fmt.Sprintf("holds %d; give 1 to %d at once", n, transport.MaxOrphanKeys))
	}
	var wrong violations
	keys := make([]contract.Key, len(q.Keys))
	for i, text := range q.Keys {
		var err error
		if keys[i], err = contract.ParseKey(text); err != nil {
			wrong.add(fmt.Sprintf("keys[%d]", i), err.Error())
		}
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	reply := &transport.OrphansReply{Orphans: []transport.Orphan{}}
	for _, key := range keys {
		orphan, err := s.orphan(ctx, key)
		if err != nil {
			return nil, err
		}
		if orphan != nil {
			orphan.Key, orphan.Started = key.String(), key.Birth.Time()
			reply.Orphans = append(reply.Orphans, *orphan)
		}
	}
	return reply, nil
}

// orphan checks one key. It returns nil if there is nothing to fix. An undo leaves nothing to clean
// up; it matters only if the saga still continues with the effect that was undone.
func (s *service) orphan(ctx context.Context, key contract.Key) (*transport.Orphan, error) {
	in, err := s.c.config.Store.Load(ctx, key.Saga)
	stone, removed := errors.AsType[*store.TombstoneError](err)
	switch {
	case err == nil && in.Birth() != key.Birth:
		return otherSaga(key, in.Phase, in.Started), nil
	case removed && stone.Birth() == 0:
		return left(key, transport.Orphan{Kind: transport.OrphanUnreadable, Phase: stone.Phase, Found: "the saga with this id was damaged and was removed; when it was started is not known"}), nil
	case removed && stone.Birth() != key.Birth:
		return otherSaga(key, stone.Phase, stone.Started), nil
	case removed:
		return nil, nil // the saga ended, and all its steps with it
	case errors.Is(err, store.ErrNotFound):
		return left(key, transport.Orphan{Kind: transport.OrphanUnknownSaga, Found: "there is no saga with this id"}), nil
	case errors.Is(err, store.ErrCorrupt):
		return &transport.Orphan{Kind: transport.OrphanUnreadable, Found: brief(err.Error())}, nil
	case err != nil:
		return nil, err
	}
	def, err := s.c.definitions.find(in.Definition)
	if err != nil {
		return &transport.Orphan{Kind: transport.OrphanUnreadable, Birth: key.Birth, Phase: in.Phase, Found: brief(err.Error())}, nil
	}
	return orphanOf(def, in, key), nil
}

// otherSaga returns the orphan of a saga whose id has been reused.
func otherSaga(key contract.Key, phase contract.Phase, started time.Time) *transport.Orphan {
	return left(key, transport.Orphan{
		Kind: transport.OrphanOtherSaga, Birth: contract.BirthOf(started), Phase: phase,
		Found: fmt.Sprintf("the saga with this id was started at %s, and is %s", started.UTC().Format(time.RFC3339Nano), phase),
	})
}

// left returns the orphan of an unknown saga, or nil if the key cannot have left an effect.
func left(key contract.Key, o transport.Orphan) *transport.Orphan {
	if key.Direction == contract.DirectionUndo {
		return nil
	}
	return &o
}

// orphanOf compares what a participant did with the state of its saga. A step that is still
// requested, or will be undone, is not an orphan: its participant answers from its inbox.
func orphanOf(def *saga.Definition, in *machine.Instance, key contract.Key) *transport.Orphan {
	o := &transport.Orphan{Birth: key.Birth, Phase: in.Phase}
	for i := range in.Steps {
		if def.Step(i).Name != key.Step {
			continue
		}
		o.Status = stepStatusOf(&in.Steps[i])
		switch status := in.Steps[i].Status(); {
		case key.Direction == contract.DirectionDo && (status == contract.StepPending || status == contract.StepRejected):
			o.Kind, o.Found = transport.OrphanNotDone, fmt.Sprintf("the saga is %s, and the step is %s", in.Phase, o.Status)
		case key.Direction == contract.DirectionUndo && status == contract.StepDone && in.Cause == nil:
			o.Kind, o.Found = transport.OrphanNotUndone, fmt.Sprintf("the saga is %s, and the step is %s and not going to be undone", in.Phase, o.Status)
		default:
			return nil
		}
		return o
	}
	o.Kind, o.Found = transport.OrphanUnknownStep, fmt.Sprintf("the saga follows %s, which has no such step", in.Definition)
	return o
}
