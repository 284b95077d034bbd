package api

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// maxRefusals bounds the refusals that one stream of OperateAll names.
const maxRefusals = 100

// OperateAll takes one decision about every saga that a filter matches.
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

// nextPage decides about the next sagas. Where other such requests have all the slots, one
// that has begun waits for its turn.
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

// inBulk renames the fields of a decision about many sagas: its filter's stand
// beside its own.
func inBulk(field string) string {
	if field == "filter" || field == "at_most" || field == "cursor" || strings.HasPrefix(field, "decision") {
		return field
	}
	return inFilter(field)
}
