package api

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amends-dev/amends/contract"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// stamp converts a time to a timestamp, or to nil if the time is zero.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// given converts a timestamp in a request to a time, or to nil if it is absent.
func given(field string, t *timestamppb.Timestamp) (*time.Time, error) {
	if t == nil {
		return nil, nil
	}
	if t.CheckValid() != nil {
		return nil, invalid(field, "is not a time between the years 1 and 9999; give one, or leave it out")
	}
	at := t.AsTime()
	return &at, nil
}

// known refuses a message that has fields unknown to this coordinator, which it would otherwise
// ignore.
func known(field string, m proto.Message) error {
	if unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)
		return invalid(field, fmt.Sprintf("has a field %d that this coordinator does not know; leave it out, or use a newer coordinator", number))
	}
	return nil
}

// valid returns text as valid UTF-8, which protobuf requires. Accepted input is always UTF-8. A
// record that is not must not prevent other records from being shown.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func refMessage(r contract.DefinitionRef) *apiv1.DefinitionRef {
	return &apiv1.DefinitionRef{Name: r.Name, Version: int64(r.Version)}
}

func sagaMessage(s *transport.Status) *apiv1.Saga {
	m := &apiv1.Saga{
		Id: string(s.ID), Definition: refMessage(s.Definition), Phase: string(s.Phase), Revision: s.Revision, Removed: s.Removed,
		Started: stamp(s.Started), Updated: stamp(s.Updated), Ended: stamp(s.Ended),
		Deadline: stamp(s.Deadline), Overdue: s.Overdue, Reason: valid(s.Reason), TraceId: s.TraceID, Problem: valid(s.Problem),
		Legal: legalOperations(s.Legal), PastPivot: s.PastPivot, Input: payloadMessage(s.Input),
	}
	if s.Birth != 0 {
		m.Birth = s.Birth.String()
	}
	if s.Paused != nil {
		m.Paused = &apiv1.Pause{Since: stamp(s.Paused.Since), By: valid(s.Paused.By), Reason: valid(s.Paused.Reason)}
	}
	if r := s.Removal; r != nil {
		m.Removal = &apiv1.Removal{At: stamp(r.At), By: valid(r.By), Reason: valid(r.Reason), Damage: valid(r.Damage)}
	}
	for _, wave := range s.Undo {
		names := make([]string, len(wave))
		for i, name := range wave {
			names[i] = string(name)
		}
		m.Undo = append(m.Undo, &apiv1.Wave{Steps: names})
	}
	for i := range s.Steps {
		m.Steps = append(m.Steps, stepMessage(&s.Steps[i]))
	}
	return m
}

func stepMessage(s *transport.StepStatus) *apiv1.Step {
	m := &apiv1.Step{
		Name: string(s.Name), Kind: string(s.Kind), Status: string(s.Status), Direction: string(s.Direction), Attempt: int32(s.Attempt), MaxAttempt: int32(s.MaxAttempt),
		Due: stamp(s.Due), Waiting: s.Waiting, Parked: stamp(s.Parked), Reason: valid(s.Reason),
		Participant: s.Participant, Action: s.Action,
	}
	if s.ResultSize > 0 {
		m.Result = &apiv1.Payload{SizeBytes: int64(s.ResultSize), LeftOut: s.LeftOut}
		if !s.LeftOut {
			m.Result.Text = valid(string(s.Result))
		}
	}
	return m
}

func payloadMessage(p *transport.Payload) *apiv1.Payload {
	if p == nil {
		return nil
	}
	return &apiv1.Payload{ContentType: p.ContentType, SizeBytes: int64(p.Size), Text: valid(string(p.JSON)), Binary: p.Binary, LeftOut: p.LeftOut}
}

func eventMessage(e *transport.HistoryEvent) *apiv1.Event {
	m := &apiv1.Event{
		Revision: e.Revision, Type: string(e.Type), At: stamp(e.At), Participant: e.Participant, Step: string(e.Step),
		Direction: string(e.Direction), Attempt: int32(e.Attempt), Outcome: string(e.Outcome),
		Operation: valid(string(e.Operation)), Timer: valid(string(e.Timer)), By: valid(e.By), Reason: valid(e.Reason), Problem: valid(e.Problem),
	}
	if e.Saga != nil {
		m.Saga = sagaMessage(e.Saga)
	}
	if e.PayloadSize > 0 {
		m.Payload = &apiv1.Payload{ContentType: e.ContentType, SizeBytes: int64(e.PayloadSize), Binary: e.Binary}
		if len(e.Binary) == 0 {
			m.Payload.Text = valid(string(e.Payload))
		}
	}
	return m
}
