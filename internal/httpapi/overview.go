package api

import (
	"context"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// ListParticipants returns the participants and their state.
func (s *server) ListParticipants(ctx context.Context, _ *connect.Request[apiv1.ListParticipantsRequest]) (*connect.Response[apiv1.ListParticipantsResponse], error) {
	reply, err := ask[transport.ParticipantsReply](ctx, s.coordinator, transport.APIParticipants, &transport.Envelope{})
	if err != nil {
		return nil, err
	}
	out := &apiv1.ListParticipantsResponse{}
	for i := range reply.Participants {
		p := &reply.Participants[i]
		out.Participants = append(out.Participants, &apiv1.Participant{
			Name: p.Name, LastAnswer: stamp(p.LastAnswer), Waiting: p.Waiting, InFlight: p.InFlight, Redelivered: p.Redelivered,
			Listening: p.Listening, Answers: p.Answers, Latency: latencyMessage(p.Latency), Actions: p.Actions, Unknown: p.Unknown,
		})
	}
	return connect.NewResponse(out), nil
}

// GetOverview returns a summary of the coordinator.
func (s *server) GetOverview(ctx context.Context, _ *connect.Request[apiv1.GetOverviewRequest]) (*connect.Response[apiv1.GetOverviewResponse], error) {
	o, err := ask[transport.Overview](ctx, s.coordinator, transport.APIOverview, &transport.Envelope{})
	if err != nil {
		return nil, err
	}
	out := &apiv1.GetOverviewResponse{
		At: stamp(o.At), Version: o.Version, Since: stamp(o.Since), Ready: o.Ready, NotReady: o.NotReady,
		Open: int64(o.Open), Parked: int64(o.Parked), Paused: int64(o.Paused), DeadLetters: o.DeadLetters,
		DeadLettersDropped: o.DeadLettersDropped,
		Outbox:             int64(o.Outbox), OutboxOldestSeconds: o.OutboxOldestSeconds, Counts: countMessages(o.Counts),
		CacheHitRatio: o.CacheHitRatio, StartedPerSecond: o.StartedPerSecond, RefusedPerSecond: o.RefusedPerSecond, EndedPerSecond: o.EndedPerSecond,
		TransitionsPerSecond: o.TransitionsPerSec, CompensatedShare: o.CompensatedShare, FailedShare: o.FailedShare,
		Commit: latencyMessage(o.Commit), Blocked: int64(o.Blocked), Nats: o.NATS, Owner: ownerMessage(o.Owner),
	}
	for _, b := range o.BlockedSagas {
		out.BlockedSagas = append(out.BlockedSagas, &apiv1.BlockedSaga{Id: b.Saga, Since: stamp(b.Since), Reason: b.Reason})
	}
	for i := range o.Standstills {
		s := &o.Standstills[i]
		out.Standstills = append(out.Standstills, &apiv1.Standstill{
			Kind: string(s.Kind), Object: s.Object, Since: stamp(s.Since), Reason: s.Reason, Fix: s.Fix, Stops: s.Stops,
		})
	}
	for i := range o.Durations {
		out.Durations = append(out.Durations, &apiv1.DefinitionLatency{Definition: o.Durations[i].Definition, Duration: latencyMessage(&o.Durations[i].Duration)})
	}
	for _, n := range o.Series {
		out.Series = append(out.Series, &apiv1.Second{
			At: stamp(n.At), Started: n.Started, Completed: n.Completed, Compensated: n.Compensated,
			Parked: n.Parked, Failed: n.Failed, Transitions: n.Transitions, Refused: n.Refused,
		})
	}
	return connect.NewResponse(out), nil
}

func ownerMessage(o *transport.OwnerStatus) *apiv1.Owner {
	if o == nil {
		return nil
	}
	return &apiv1.Owner{
		Prefix: o.Prefix, Store: o.Store, Claim: o.Claim, Host: o.Host, Address: o.Address, Since: stamp(o.Since),
		Ours: o.Ours, Sure: o.Sure, LastSure: stamp(o.LastSure), Waiting: o.Waiting, Replaced: o.Replaced,
	}
}

func latencyMessage(l *transport.Latency) *apiv1.Latency {
	if l == nil {
		return nil
	}
	return &apiv1.Latency{Count: l.Count, P50Seconds: l.P50, P99Seconds: l.P99}
}

func stepFigures(steps []transport.StepFigures) []*apiv1.StepFigures {
	var out []*apiv1.StepFigures
	for i := range steps {
		s := &steps[i]
		out = append(out, &apiv1.StepFigures{
			Step: s.Step, Completed: s.Completed, Rejected: s.Rejected, Failed: s.Failed, Do: latencyMessage(s.Do), Undo: latencyMessage(s.Undo),
		})
	}
	return out
}
