package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// errNoOffice means that the bus cannot list its dead letters.
var errNoOffice = errors.New("the dead letters of this bus cannot be managed here; use the bus's own tools")

// listDeadLetters returns a page of dead letters.
func (s *service) listDeadLetters(ctx context.Context, q *api.ListDeadLettersRequest) (*api.ListDeadLettersResponse, error) {
	office, ok := s.c.config.Bus.(transport.DeadLetterOffice)
	if !ok {
		return nil, errNoOffice
	}
	if q.Limit < 0 || q.Limit > api.MaxDeadLetters {
		return nil, violation("limit", fmt.Sprintf("is %d; use 1 to %d, or 0 for 100", q.Limit, api.MaxDeadLetters))
	}
	limit := cmp.Or(q.Limit, 100)
	letters, err := office.ListDeadLetters(ctx, q.Cursor, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	reply := &api.ListDeadLettersResponse{DeadLetters: make([]api.DeadLetter, 0, len(letters))}
	size := frameRoom
	for i := range letters {
		letter := deadLetterReply(&letters[i])
		if size += encoded(&letter) + 1; size > maxReply && i > 0 {
			reply.NextCursor = letters[i-1].Sequence
			return reply, nil
		}
		reply.DeadLetters = append(reply.DeadLetters, letter)
	}
	if len(letters) == limit {
		reply.NextCursor = letters[len(letters)-1].Sequence
	}
	return reply, nil
}

// deadLetterReply converts a dead letter for a reply: data as bytes, and text as valid UTF-8. It
// leaves out data that does not fit into a reply.
func deadLetterReply(l *transport.DeadLetter) api.DeadLetter {
	reply := api.DeadLetter{
		Sequence: l.Sequence, Stream: valid(string(l.Stream)), Subject: valid(l.Subject), Reason: valid(l.Reason), Since: l.Time,
		Data: payload(l.Data, "", false),
	}
	for _, name := range slices.Sorted(maps.Keys(l.Header)) {
		h := api.Header{Name: valid(name)}
		for _, v := range l.Header[name] {
			h.Values = append(h.Values, valid(v))
		}
		reply.Headers = append(reply.Headers, h)
	}
	if encoded(&reply) > maxReply-frameRoom {
		reply.Data = payload(l.Data, "", true)
	}
	return reply
}

// valid converts a text from the bus to valid UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// replayDeadLetters publishes dead letters again and removes them.
func (s *service) replayDeadLetters(ctx context.Context, q *api.ReplayDeadLettersRequest) (*api.ReplayDeadLettersResponse, error) {
	done, failed, err := s.eachDeadLetter(ctx, q.Sequences, q.By, "replayed", transport.DeadLetterOffice.ReplayDeadLetter)
	return &api.ReplayDeadLettersResponse{Replayed: done, Failed: failed}, err
}

// discardDeadLetters removes dead letters.
func (s *service) discardDeadLetters(ctx context.Context, q *api.DiscardDeadLettersRequest) (*api.DiscardDeadLettersResponse, error) {
	done, failed, err := s.eachDeadLetter(ctx, q.Sequences, q.By, "discarded", transport.DeadLetterOffice.DiscardDeadLetter)
	return &api.DiscardDeadLettersResponse{Discarded: done, Failed: failed}, err
}

// eachDeadLetter calls do for every dead letter in a request. It returns the dead letters for which
// do succeeded, and the errors for the others. did names the operation in the log.
func (s *service) eachDeadLetter(
	ctx context.Context, sequences []uint64, by, did string, do func(transport.DeadLetterOffice, context.Context, uint64) error,
) (done []uint64, failed []api.FailedDeadLetter, err error) {
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	office, ok := s.c.config.Bus.(transport.DeadLetterOffice)
	if !ok {
		return nil, nil, errNoOffice
	}
	if len(sequences) == 0 || len(sequences) > api.MaxDeadLetters {
		return nil, nil, violation("sequences", fmt.Sprintf("contains %d; give the sequence numbers of 1 to %d dead letters", len(sequences), api.MaxDeadLetters))
	}
	for _, n := range sequences {
		switch err := do(office, ctx, n); {
		case err == nil:
			done = append(done, n)
		case ctx.Err() != nil:
			failed = append(failed, api.FailedDeadLetter{Sequence: n, Problem: "the request ran out of time; repeat it for this dead letter: " + err.Error()})
		default:
			failed = append(failed, api.FailedDeadLetter{Sequence: n, Problem: err.Error()})
		}
	}
	s.c.config.Logger.InfoContext(ctx, "dead letters "+did, LogBy, brief(by), "sequences", done, "failed", len(failed))
	return done, failed, nil
}

// maxPart bounds the substring of a reason that a purge searches for.
const maxPart = 1024

// purgeDeadLetters removes the dead letters that match a request, or only counts them.
func (s *service) purgeDeadLetters(ctx context.Context, q *api.PurgeDeadLettersRequest) (*api.PurgeDeadLettersResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	office, ok := s.c.config.Bus.(transport.DeadLetterOffice)
	if !ok {
		return nil, errNoOffice
	}
	if err := checkPurge(q); err != nil {
		return nil, err
	}
	which := transport.DeadLetterFilter{Stream: transport.Stream(q.Stream), Participant: q.Participant, Reason: q.Reason, After: q.Cursor}
	if q.OlderThan != nil {
		which.Before = s.c.config.Clock().Add(-q.OlderThan.Or(0))
	}
	matched, next, err := office.PurgeDeadLetters(ctx, which, q.DryRun)
	if !q.DryRun {
		s.c.config.Logger.InfoContext(ctx, "dead letters purged", LogBy, brief(q.By), "matched", matched,
			"stream", q.Stream, "participant", q.Participant, LogReason, q.Reason, "before", which.Before)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return &api.PurgeDeadLettersResponse{Matched: matched, NextCursor: next}, nil
}

// checkPurge refuses a filter that can match nothing. It also refuses one that matches everything,
// unless the request asks for that explicitly.
func checkPurge(q *api.PurgeDeadLettersRequest) error {
	var wrong violations
	if q.Stream != "" && !slices.Contains(transport.Streams[:], transport.Stream(q.Stream)) {
		wrong.add("stream", fmt.Sprintf("%q is not a stream that dead letters come from; use commands, events or lifecycle", brief(q.Stream)))
	}
	if q.Participant != "" {
		if err := contract.CheckName("participant", q.Participant); err != nil {
			wrong.add("participant", err.Error()+"; for messages without a participant use "+transport.UnknownParticipant)
		}
	}
	if len(q.Reason) > maxPart {
		wrong.add("reason", fmt.Sprintf("has %d bytes; at most %d are allowed", len(q.Reason), maxPart))
	}
	if age := q.OlderThan; age != nil && (age.Or(0) <= 0 || age.Or(0) > maxAge) {
		wrong.add("olderThan", fmt.Sprintf("is %s; give a duration above 0 and up to %s, or leave it out", age, api.Duration(maxAge)))
	}
	filtered := q.Stream != "" || q.Participant != "" || q.Reason != "" || q.OlderThan != nil
	switch {
	case !filtered && !q.All:
		wrong.add("all", "no filter is given; to remove all dead letters, set all to true")
	case filtered && q.All:
		wrong.add("all", "is set together with a filter; use only one of the two")
	}
	return wrong.err()
}

// maxAge bounds the age of dead letters in a purge.
const maxAge = 10 * 366 * 24 * time.Hour

// findOrphans returns the keys in a participant's inbox whose outcome the coordinator does not know,
// for example after an older store was restored.
func (s *service) findOrphans(ctx context.Context, q *api.FindOrphansRequest) (*api.FindOrphansResponse, error) {
	if n := len(q.Keys); n == 0 || n > api.MaxOrphanKeys {
		return nil, violation("keys", fmt.Sprintf("contains %d; give 1 to %d per request", n, api.MaxOrphanKeys))
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
	reply := &api.FindOrphansResponse{}
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
func (s *service) orphan(ctx context.Context, key contract.Key) (*api.Orphan, error) {
	in, err := s.c.config.Store.Load(ctx, key.Saga)
	stone, removed := errors.AsType[*store.TombstoneError](err)
	switch {
	case err == nil && in.Birth() != key.Birth:
		return otherSaga(key, in.Phase, in.Started), nil
	case removed && stone.Birth() == 0:
		return left(key, api.Orphan{Kind: api.OrphanUnreadable, Phase: stone.Phase, Found: "the saga with this id was damaged and was removed; when it was started is not known"}), nil
	case removed && stone.Birth() != key.Birth:
		return otherSaga(key, stone.Phase, stone.Started), nil
	case removed:
		return nil, nil // the saga ended, and all its steps with it
	case errors.Is(err, store.ErrNotFound):
		return left(key, api.Orphan{Kind: api.OrphanUnknownSaga, Found: "there is no saga with this id"}), nil
	case errors.Is(err, store.ErrCorrupt):
		return &api.Orphan{Kind: api.OrphanUnreadable, Found: brief(err.Error())}, nil
	case err != nil:
		return nil, err
	}
	def, err := s.c.definitions.find(in.Definition)
	if err != nil {
		return &api.Orphan{Kind: api.OrphanUnreadable, Birth: key.Birth, Phase: in.Phase, Found: brief(err.Error())}, nil
	}
	return orphanOf(def, in, key), nil
}

// otherSaga returns the orphan for a key whose saga id has been reused.
func otherSaga(key contract.Key, phase contract.Phase, started time.Time) *api.Orphan {
	return left(key, api.Orphan{
		Kind: api.OrphanOtherSaga, Birth: contract.BirthOf(started), Phase: phase,
		Found: fmt.Sprintf("the saga with this id was started at %s, and is %s", started.UTC().Format(time.RFC3339Nano), phase),
	})
}

// left returns an orphan, or nil for the key of an undo, because an undo needs no cleanup.
func left(key contract.Key, o api.Orphan) *api.Orphan {
	if key.Direction == contract.DirectionUndo {
		return nil
	}
	return &o
}

// orphanOf compares what a participant did with the state of the saga. A step that is still
// requested, or will be undone, is not an orphan: its participant answers from its inbox.
func orphanOf(def *saga.Definition, in *machine.Instance, key contract.Key) *api.Orphan {
	o := &api.Orphan{Birth: key.Birth, Phase: in.Phase}
	for i := range in.Steps {
		if def.Step(i).Name != key.Step {
			continue
		}
		o.Status = stepStatusOf(&in.Steps[i])
		switch status := in.Steps[i].Status(); {
		case key.Direction == contract.DirectionDo && (status == contract.StepPending || status == contract.StepRejected):
			o.Kind, o.Found = api.OrphanNotDone, fmt.Sprintf("the saga is %s, and the step is %s", in.Phase, o.Status)
		case key.Direction == contract.DirectionUndo && status == contract.StepDone && in.Cause == nil:
			o.Kind, o.Found = api.OrphanNotUndone, fmt.Sprintf("the saga is %s, and the step is %s and will not be undone", in.Phase, o.Status)
		default:
			return nil
		}
		return o
	}
	o.Kind, o.Found = api.OrphanUnknownStep, fmt.Sprintf("the saga follows %s, which has no such step", in.Definition)
	return o
}
