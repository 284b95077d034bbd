package api

import (
	"context"
	"errors"
	"strings"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// maxRefusals bounds the refusals that one stream of OperateAll names.
const maxRefusals = 100

// OperateAll takes one decision about every saga that a filter matches.
func (s *server) OperateAll(ctx context.Context, r *connect.Request[apiv1.OperateAllRequest], stream *connect.ServerStream[apiv1.OperateAllResponse]) error {
	filter, err := filterOf(r.Msg.Filter)
	if err != nil {
		return err
	}
	decision, err := operationOf(r.Msg.Decision)
	if err != nil {
		return err
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return connect.NewError(connect.CodeResourceExhausted, errors.New("too many streams at once (MaxStreams); try again"))
	}
	q := transport.OperateAllQuery{Filter: filter, Decision: decision, DryRun: r.Msg.DryRun, AtMost: int(r.Msg.AtMost)}
	sum := &apiv1.OperateAllResponse{}
	named := 0
	for !sum.Finished {
		page, err := query[transport.OperateAllReply](ctx, s.coordinator, transport.APIOperateAll, &transport.Envelope{}, q)
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
			sum.Refusals = append(sum.Refusals, &apiv1.RefusedSaga{Id: string(one.ID), Reason: one.Reason})
			named++
		}
		if err := stream.Send(sum); err != nil {
			return err
		}
	}
	return nil
}

// inBulk renames the fields of a decision about many sagas: its filter's stand
// beside its own.
func inBulk(field string) string {
	if field == "filter" || field == "at_most" || field == "cursor" || strings.HasPrefix(field, "decision") {
		return field
	}
	return inFilter(field)
}
