package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// ListDeadLetters lists dead letters.
func (s *server) ListDeadLetters(ctx context.Context, r *connect.Request[apiv1.ListDeadLettersRequest]) (*connect.Response[apiv1.ListDeadLettersResponse], error) {
	reply, err := query[transport.DeadLettersReply](ctx, s.coordinator, transport.APIDeadLetters, &transport.Envelope{},
		&transport.DeadLettersQuery{After: r.Msg.After, Limit: int(r.Msg.Limit)})
	if err != nil {
		return nil, err
	}
	out := &apiv1.ListDeadLettersResponse{Next: reply.Next}
	for i := range reply.DeadLetters {
		out.DeadLetters = append(out.DeadLetters, deadLetterMessage(&reply.DeadLetters[i]))
	}
	return connect.NewResponse(out), nil
}

func deadLetterMessage(l *transport.DeadLetterReply) *apiv1.DeadLetter {
	m := &apiv1.DeadLetter{
		Sequence: l.Sequence, Stream: string(l.Stream), Subject: l.Subject, Reason: l.Reason,
		Since: stamp(l.Since), Data: payloadMessage(&l.Data),
	}
	for name, values := range l.Header {
		m.Headers = append(m.Headers, &apiv1.Header{Name: name, Values: values})
	}
	slices.SortFunc(m.Headers, func(a, b *apiv1.Header) int { return strings.Compare(a.Name, b.Name) })
	return m
}

// ReplayDeadLetters publishes dead letters again and removes them.
func (s *server) ReplayDeadLetters(ctx context.Context, r *connect.Request[apiv1.ReplayDeadLettersRequest]) (*connect.Response[apiv1.ReplayDeadLettersResponse], error) {
	done, failed, err := s.eachDeadLetter(ctx, transport.APIReplayDeadLetters, r.Msg.Sequences, r.Msg.By)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.ReplayDeadLettersResponse{Replayed: done, Failed: failed}), nil
}

// DiscardDeadLetters removes dead letters.
func (s *server) DiscardDeadLetters(ctx context.Context, r *connect.Request[apiv1.DiscardDeadLettersRequest]) (*connect.Response[apiv1.DiscardDeadLettersResponse], error) {
	done, failed, err := s.eachDeadLetter(ctx, transport.APIDiscardDeadLetters, r.Msg.Sequences, r.Msg.By)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.DiscardDeadLettersResponse{Discarded: done, Failed: failed}), nil
}

func (s *server) eachDeadLetter(ctx context.Context, method string, sequences []uint64, by string) ([]uint64, []*apiv1.FailedDeadLetter, error) {
	reply, err := query[transport.DeadLettersDone](ctx, s.coordinator, method, &transport.Envelope{}, &transport.DeadLettersRequest{Sequences: sequences, By: by})
	if err != nil {
		return nil, nil, err
	}
	var failed []*apiv1.FailedDeadLetter
	for _, f := range reply.Failed {
		failed = append(failed, &apiv1.FailedDeadLetter{Sequence: f.Sequence, Problem: f.Problem})
	}
	return reply.Done, failed, nil
}

// PurgeDeadLetters removes the dead letters that match a filter, or only counts them.
func (s *server) PurgeDeadLetters(ctx context.Context, r *connect.Request[apiv1.PurgeDeadLettersRequest]) (*connect.Response[apiv1.PurgeDeadLettersResponse], error) {
	if err := known("request", r.Msg); err != nil {
		return nil, err
	}
	if d := r.Msg.OlderThan; d != nil && (d.CheckValid() != nil || d.AsDuration() <= 0) {
		return nil, invalid("older_than", "is no time that can have passed; give one such as 86400s, or leave it out")
	}
	reply, err := query[transport.PurgeDeadLettersReply](ctx, s.coordinator, transport.APIPurgeDeadLetters, &transport.Envelope{}, &transport.PurgeDeadLettersRequest{
		Stream: transport.Stream(r.Msg.Stream), Participant: r.Msg.Participant, Reason: r.Msg.Reason, OlderThanMs: milliseconds(r.Msg.OlderThan),
		All: r.Msg.All, DryRun: r.Msg.DryRun, By: r.Msg.By, After: r.Msg.After,
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.PurgeDeadLettersResponse{Matched: int64(reply.Matched), Next: reply.Next}), nil
}

// milliseconds converts a duration. It rounds up, so that a tiny positive duration does not become
// 0.
func milliseconds(d *durationpb.Duration) int64 {
	whole := d.AsDuration()
	if whole%time.Millisecond > 0 {
		return int64(whole/time.Millisecond) + 1
	}
	return int64(whole / time.Millisecond)
}

// FindOrphans returns those keys of an inbox whose effects are unknown to the coordinator.
func (s *server) FindOrphans(ctx context.Context, r *connect.Request[apiv1.FindOrphansRequest]) (*connect.Response[apiv1.FindOrphansResponse], error) {
	reply, err := query[transport.OrphansReply](ctx, s.coordinator, transport.APIOrphans, &transport.Envelope{}, &transport.OrphansQuery{Keys: r.Msg.Keys})
	if err != nil {
		return nil, err
	}
	out := &apiv1.FindOrphansResponse{}
	for i := range reply.Orphans {
		out.Orphans = append(out.Orphans, orphanMessage(&reply.Orphans[i]))
	}
	return connect.NewResponse(out), nil
}

func orphanMessage(o *transport.Orphan) *apiv1.Orphan {
	m := &apiv1.Orphan{
		Key: o.Key, Kind: string(o.Kind), Started: stamp(o.Started), Found: o.Found, Phase: string(o.Phase), Status: string(o.Status),
	}
	if o.Birth != 0 {
		m.Birth = o.Birth.String()
	}
	return m
}
