package httpapi

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/api"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// maxRefusals is the maximum number of refusals that one OperateAll stream lists.
const maxRefusals = 100

// OperateAll executes a decision about every saga that a filter matches, page by page.
func (s *server) OperateAll(ctx context.Context, r *connect.Request[apiv1.OperateAllRequest], stream *connect.ServerStream[apiv1.OperateAllResponse]) error {
	value, err := valueOf(r.Msg)
	if err != nil {
		return err
	}
	request, _ := value.(*api.OperateAllRequest)
	give, err := s.streams.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	next := &api.OperatePageRequest{Filter: request.Filter, Decision: request.Decision, DryRun: request.DryRun, MaxMatches: request.MaxMatches}
	sum, listed := api.OperateAllResponse{}, 0
	for !sum.Finished {
		page, err := s.page(ctx, next)
		if err != nil {
			return err
		}
		sum.Matched += page.Matched
		sum.Done += page.Done
		sum.Refused += len(page.Refusals)
		sum.Refusals = page.Refusals[:min(len(page.Refusals), maxRefusals-listed)]
		listed += len(sum.Refusals)
		next.Cursor = page.NextCursor
		sum.Finished = page.NextCursor == ""
		m, err := messageOf[apiv1.OperateAllResponse](&sum)
		if err != nil {
			return err
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// page executes the decision about the next page of sagas. If other bulk requests use all slots, it
// waits for a free slot; for the first page it returns an error instead.
func (s *server) page(ctx context.Context, request *api.OperatePageRequest) (*api.OperatePageResponse, error) {
	for {
		page, err := ask[api.OperatePageResponse](ctx, s.coordinator, api.MethodOperatePage, request)
		if request.Cursor == "" || connect.CodeOf(err) != connect.CodeResourceExhausted {
			return page, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retryLimit):
		}
	}
}
