package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amends-dev/amends/contract"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// Start starts a saga.
func (s *server) Start(ctx context.Context, r *connect.Request[apiv1.StartRequest]) (*connect.Response[apiv1.StartResponse], error) {
	m := r.Msg
	if m.Input != "" && len(m.InputBinary) > 0 {
		return nil, invalid("input_binary", "input is given as well; give one of the two")
	}
	ref, err := definitionRef("definition", m.Definition)
	if err != nil {
		return nil, err
	}
	data := m.InputBinary
	if m.Input != "" {
		data = []byte(m.Input)
	}
	method := transport.APIStart
	if m.AtMost != nil {
		method = transport.APIRun
	}
	expires, err := s.expires(m.AtMost)
	if err != nil {
		return nil, err
	}
	if m.AtMost != nil {
		give, err := s.waits.take(ctx)
		if err != nil {
			return nil, err
		}
		defer give()
	}
	status, err := ask[transport.Status](ctx, s.coordinator, method, &transport.Envelope{
		Saga: contract.SagaID(m.Id), Definition: ref, ContentType: m.ContentType, Data: data, Expires: expires,
		TraceParent: r.Header().Get(transport.AttrTraceParent), TraceState: r.Header().Get(transport.AttrTraceState),
	})
	if err != nil {
		return nil, err
	}
	existed := status.Existed
	if method == transport.APIRun && len(status.Steps) == 0 && !status.Removed {
		// The wait has timed out, and the coordinator's answer is brief. The saga has been started,
		// so a failure to read its details is not an error of the start.
		if all, err := ask[transport.Status](ctx, s.coordinator, transport.APIGet, &transport.Envelope{Saga: status.ID}); err == nil {
			status = all
		}
	}
	return connect.NewResponse(&apiv1.StartResponse{Saga: sagaMessage(status), Existed: existed}), nil
}

// Get returns the state of a saga.
func (s *server) Get(ctx context.Context, r *connect.Request[apiv1.GetRequest]) (*connect.Response[apiv1.GetResponse], error) {
	status, err := ask[transport.Status](ctx, s.coordinator, transport.APIGet, &transport.Envelope{Saga: contract.SagaID(r.Msg.Id)})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.GetResponse{Saga: sagaMessage(status)}), nil
}

// Wait returns the state of a saga once it is at rest.
func (s *server) Wait(ctx context.Context, r *connect.Request[apiv1.WaitRequest]) (*connect.Response[apiv1.WaitResponse], error) {
	expires, err := s.expires(r.Msg.AtMost)
	if err != nil {
		return nil, err
	}
	give, err := s.waits.take(ctx)
	if err != nil {
		return nil, err
	}
	defer give()
	status, err := ask[transport.Status](ctx, s.coordinator, transport.APIWait, &transport.Envelope{Saga: contract.SagaID(r.Msg.Id), Expires: expires})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.WaitResponse{Saga: sagaMessage(status)}), nil
}

// expires returns how long a request may be held, as a time; zero if atMost is absent.
func (s *server) expires(atMost *durationpb.Duration) (time.Time, error) {
	if atMost == nil {
		return time.Time{}, nil
	}
	if err := atMost.CheckValid(); err != nil || atMost.AsDuration() < 0 {
		return time.Time{}, invalid("at_most", "is not a duration from 0 on; write it such as 30s")
	}
	return s.clock().Add(min(atMost.AsDuration(), time.Hour)), nil
}

// History returns the recorded events of a saga.
func (s *server) History(ctx context.Context, r *connect.Request[apiv1.HistoryRequest]) (*connect.Response[apiv1.HistoryResponse], error) {
	reply, err := query[transport.HistoryReply](ctx, s.coordinator, transport.APIHistory,
		&transport.Envelope{Saga: contract.SagaID(r.Msg.Id)}, &transport.HistoryQuery{From: r.Msg.From, Limit: int(r.Msg.Limit), WithSaga: r.Msg.WithSaga})
	if err != nil {
		return nil, err
	}
	out := &apiv1.HistoryResponse{Next: reply.Next}
	for i := range reply.Events {
		out.Events = append(out.Events, eventMessage(&reply.Events[i]))
	}
	return connect.NewResponse(out), nil
}

// List returns a page of sagas.
func (s *server) List(ctx context.Context, r *connect.Request[apiv1.ListRequest]) (*connect.Response[apiv1.ListResponse], error) {
	filter, err := filterOf(r.Msg.Filter)
	if err != nil {
		return nil, err
	}
	reply, err := query[transport.ListReply](ctx, s.coordinator, transport.APIList, &transport.Envelope{},
		&transport.ListQuery{Filter: filter, Limit: int(r.Msg.Limit), Cursor: r.Msg.Cursor})
	if err != nil {
		return nil, err
	}
	out := &apiv1.ListResponse{Next: reply.Next}
	for i := range reply.Sagas {
		out.Sagas = append(out.Sagas, sagaMessage(&reply.Sagas[i]))
	}
	return connect.NewResponse(out), nil
}

// Count returns how many sagas a filter matches.
func (s *server) Count(ctx context.Context, r *connect.Request[apiv1.CountRequest]) (*connect.Response[apiv1.CountResponse], error) {
	filter, err := filterOf(r.Msg.Filter)
	if err != nil {
		return nil, err
	}
	reply, err := query[transport.CountReply](ctx, s.coordinator, transport.APICount, &transport.Envelope{}, &filter)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.CountResponse{Counts: countMessages(reply.Counts), Total: int64(reply.Total), AtLeast: reply.AtLeast}), nil
}

// Operate applies an operation to one saga.
func (s *server) Operate(ctx context.Context, r *connect.Request[apiv1.OperateRequest]) (*connect.Response[apiv1.OperateResponse], error) {
	operation, err := operationOf(r.Msg.Decision)
	if err != nil {
		return nil, err
	}
	operation.ExpectedRevision = r.Msg.ExpectedRevision
	status, err := query[transport.Status](ctx, s.coordinator, transport.APIOperate, &transport.Envelope{
		Saga: contract.SagaID(r.Msg.Id), TraceParent: r.Header().Get(transport.AttrTraceParent), TraceState: r.Header().Get(transport.AttrTraceState),
	}, &operation)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.OperateResponse{Saga: sagaMessage(status)}), nil
}

// RemoveDamaged replaces a saga whose record is damaged by a tombstone.
func (s *server) RemoveDamaged(ctx context.Context, r *connect.Request[apiv1.RemoveDamagedRequest]) (*connect.Response[apiv1.RemoveDamagedResponse], error) {
	status, err := query[transport.Status](ctx, s.coordinator, transport.APIRemoveDamaged, &transport.Envelope{Saga: contract.SagaID(r.Msg.Id)},
		&transport.RemoveDamagedRequest{By: r.Msg.By, Reason: r.Msg.Reason})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.RemoveDamagedResponse{Saga: sagaMessage(status)}), nil
}

func operationOf(d *apiv1.Decision) (transport.Decision, error) {
	if d == nil {
		return transport.Decision{}, invalid("decision", "is missing; give an operation, by and reason")
	}
	if d.Result != "" {
		if err := contract.CheckJSON([]byte(d.Result)); err != nil {
			return transport.Decision{}, invalid("decision.result", "is not valid JSON: "+err.Error()+`; a text is written with quotes within: "\"text\""`)
		}
	}
	return transport.Decision{
		Operation: contract.Operation(d.Operation), Step: contract.StepName(d.Step), By: d.By, Reason: d.Reason,
		Outcome: contract.Outcome(d.Outcome), Result: json.RawMessage(d.Result),
	}, nil
}

// definitionRef converts a reference to a definition.
func definitionRef(field string, r *apiv1.DefinitionRef) (contract.DefinitionRef, error) {
	if r != nil {
		if err := known(field, r); err != nil {
			return contract.DefinitionRef{}, err
		}
	}
	if r.GetVersion() < 0 || r.GetVersion() > math.MaxInt32 {
		return contract.DefinitionRef{}, invalid(field+".version", fmt.Sprintf("is %d; versions count from 1, and 0 is the newest", r.GetVersion()))
	}
	return contract.DefinitionRef{Name: r.GetName(), Version: int(r.GetVersion())}, nil
}

func filterOf(f *apiv1.Filter) (transport.Filter, error) {
	if f == nil {
		return transport.Filter{}, nil
	}
	if err := known("filter", f); err != nil {
		return transport.Filter{}, err
	}
	ref, err := definitionRef("filter.definition", f.Definition)
	if err != nil {
		return transport.Filter{}, err
	}
	out := transport.Filter{
		Definition: ref.Name, Version: ref.Version, IDPrefix: f.IdPrefix, Open: f.Open,
		Paused: f.Paused, Reason: f.Reason, Step: contract.StepName(f.Step), Participant: f.Participant,
	}
	for _, t := range []struct {
		field string
		from  *timestamppb.Timestamp
		to    **time.Time
	}{
		{"started_after", f.StartedAfter, &out.StartedAfter}, {"started_before", f.StartedBefore, &out.StartedBefore},
		{"updated_before", f.UpdatedBefore, &out.UpdatedBefore},
	} {
		if *t.to, err = given("filter."+t.field, t.from); err != nil {
			return transport.Filter{}, err
		}
	}
	for _, id := range f.Ids {
		out.IDs = append(out.IDs, contract.SagaID(id))
	}
	for _, p := range f.Phases {
		out.Phases = append(out.Phases, contract.Phase(p))
	}
	return out, nil
}

// maxRefusals is the maximum number of refusals that one OperateAll stream lists.
const maxRefusals = 100

// OperateAll applies one operation to every saga that a filter matches.
func (s *server) OperateAll(ctx context.Context, r *connect.Request[apiv1.OperateAllRequest], stream *connect.ServerStream[apiv1.OperateAllResponse]) error {
	if err := known("request", r.Msg); err != nil {
		return err
	}
	filter, err := filterOf(r.Msg.Filter)
	if err != nil {
		return err
	}
	decision, err := operationOf(r.Msg.Decision)
	if err != nil {
		return err
	}
	give, err := s.streams.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	q := transport.OperateAllQuery{Filter: filter, Decision: decision, DryRun: r.Msg.DryRun, AtMost: int(r.Msg.AtMost)}
	sum := &apiv1.OperateAllResponse{}
	named := 0
	for !sum.Finished {
		page, err := s.nextPage(ctx, q)
		if err != nil {
			return err
		}
		q.Cursor = page.Next
		sum.Matched += int64(page.Matched)
		sum.Done += int64(page.Done)
		sum.Refused += int64(len(page.Refused))
		sum.Finished = page.Next == ""
		sum.Refusals = nil
		for _, one := range page.Refused[:min(len(page.Refused), maxRefusals-named)] {
			sum.Refusals = append(sum.Refusals, &apiv1.RefusedSaga{Id: string(one.ID), Reason: one.Reason, Legal: legalOperations(one.Legal)})
			named++
		}
		if err := stream.Send(sum); err != nil {
			return err
		}
	}
	return nil
}

// nextPage applies the operation to the next page of sagas. If other bulk requests use all slots,
// it waits for a free one.
func (s *server) nextPage(ctx context.Context, q transport.OperateAllQuery) (*transport.OperateAllReply, error) {
	for {
		page, err := query[transport.OperateAllReply](ctx, s.coordinator, transport.APIOperateAll, &transport.Envelope{}, &q)
		if q.Cursor == "" || connect.CodeOf(err) != connect.CodeResourceExhausted {
			return page, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retryLimit):
		}
	}
}

// inBulk converts field names for a bulk operation: the API has the filter's fields beside its own.
func inBulk(field string) string {
	if field == "filter" || field == "at_most" || field == "cursor" || strings.HasPrefix(field, "decision") {
		return field
	}
	return inFilter(field)
}
