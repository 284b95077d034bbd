package httpapi

import (
	"context"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/api"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// The methods of the service, except for the streams. The proto file documents them.

func (s *server) Start(ctx context.Context, r *connect.Request[apiv1.StartRequest]) (*connect.Response[apiv1.StartResponse], error) {
	return serve[apiv1.StartResponse](ctx, s, api.MethodStart, r)
}

func (s *server) Run(ctx context.Context, r *connect.Request[apiv1.RunRequest]) (*connect.Response[apiv1.RunResponse], error) {
	return hold[apiv1.RunResponse](ctx, s, api.MethodRun, r)
}

func (s *server) Get(ctx context.Context, r *connect.Request[apiv1.GetRequest]) (*connect.Response[apiv1.GetResponse], error) {
	return serve[apiv1.GetResponse](ctx, s, api.MethodGet, r)
}

func (s *server) Wait(ctx context.Context, r *connect.Request[apiv1.WaitRequest]) (*connect.Response[apiv1.WaitResponse], error) {
	return hold[apiv1.WaitResponse](ctx, s, api.MethodWait, r)
}

func (s *server) History(ctx context.Context, r *connect.Request[apiv1.HistoryRequest]) (*connect.Response[apiv1.HistoryResponse], error) {
	return serve[apiv1.HistoryResponse](ctx, s, api.MethodHistory, r)
}

func (s *server) List(ctx context.Context, r *connect.Request[apiv1.ListRequest]) (*connect.Response[apiv1.ListResponse], error) {
	return serve[apiv1.ListResponse](ctx, s, api.MethodList, r)
}

func (s *server) Count(ctx context.Context, r *connect.Request[apiv1.CountRequest]) (*connect.Response[apiv1.CountResponse], error) {
	return serve[apiv1.CountResponse](ctx, s, api.MethodCount, r)
}

func (s *server) Poll(ctx context.Context, r *connect.Request[apiv1.PollRequest]) (*connect.Response[apiv1.PollResponse], error) {
	return serve[apiv1.PollResponse](ctx, s, api.MethodPoll, r)
}

func (s *server) Operate(ctx context.Context, r *connect.Request[apiv1.OperateRequest]) (*connect.Response[apiv1.OperateResponse], error) {
	return serve[apiv1.OperateResponse](ctx, s, api.MethodOperate, r)
}

func (s *server) OperatePage(ctx context.Context, r *connect.Request[apiv1.OperatePageRequest]) (*connect.Response[apiv1.OperatePageResponse], error) {
	return serve[apiv1.OperatePageResponse](ctx, s, api.MethodOperatePage, r)
}

func (s *server) RemoveDamaged(ctx context.Context, r *connect.Request[apiv1.RemoveDamagedRequest]) (*connect.Response[apiv1.RemoveDamagedResponse], error) {
	return serve[apiv1.RemoveDamagedResponse](ctx, s, api.MethodRemoveDamaged, r)
}

func (s *server) RegisterDefinition(ctx context.Context, r *connect.Request[apiv1.RegisterDefinitionRequest]) (*connect.Response[apiv1.RegisterDefinitionResponse], error) {
	return serve[apiv1.RegisterDefinitionResponse](ctx, s, api.MethodRegisterDefinition, r)
}

func (s *server) ListDefinitions(ctx context.Context, r *connect.Request[apiv1.ListDefinitionsRequest]) (*connect.Response[apiv1.ListDefinitionsResponse], error) {
	return serve[apiv1.ListDefinitionsResponse](ctx, s, api.MethodListDefinitions, r)
}

func (s *server) GetDefinition(ctx context.Context, r *connect.Request[apiv1.GetDefinitionRequest]) (*connect.Response[apiv1.GetDefinitionResponse], error) {
	return serve[apiv1.GetDefinitionResponse](ctx, s, api.MethodGetDefinition, r)
}

func (s *server) CompareDefinitions(ctx context.Context, r *connect.Request[apiv1.CompareDefinitionsRequest]) (*connect.Response[apiv1.CompareDefinitionsResponse], error) {
	return serve[apiv1.CompareDefinitionsResponse](ctx, s, api.MethodCompareDefinitions, r)
}

func (s *server) ListParticipants(ctx context.Context, r *connect.Request[apiv1.ListParticipantsRequest]) (*connect.Response[apiv1.ListParticipantsResponse], error) {
	return serve[apiv1.ListParticipantsResponse](ctx, s, api.MethodListParticipants, r)
}

func (s *server) GetOverview(ctx context.Context, r *connect.Request[apiv1.GetOverviewRequest]) (*connect.Response[apiv1.GetOverviewResponse], error) {
	return serve[apiv1.GetOverviewResponse](ctx, s, api.MethodGetOverview, r)
}

func (s *server) FindOrphans(ctx context.Context, r *connect.Request[apiv1.FindOrphansRequest]) (*connect.Response[apiv1.FindOrphansResponse], error) {
	return serve[apiv1.FindOrphansResponse](ctx, s, api.MethodFindOrphans, r)
}

func (s *server) ListDeadLetters(ctx context.Context, r *connect.Request[apiv1.ListDeadLettersRequest]) (*connect.Response[apiv1.ListDeadLettersResponse], error) {
	return serve[apiv1.ListDeadLettersResponse](ctx, s, api.MethodListDeadLetters, r)
}

func (s *server) ReplayDeadLetters(ctx context.Context, r *connect.Request[apiv1.ReplayDeadLettersRequest]) (*connect.Response[apiv1.ReplayDeadLettersResponse], error) {
	return serve[apiv1.ReplayDeadLettersResponse](ctx, s, api.MethodReplayDeadLetters, r)
}

func (s *server) DiscardDeadLetters(ctx context.Context, r *connect.Request[apiv1.DiscardDeadLettersRequest]) (*connect.Response[apiv1.DiscardDeadLettersResponse], error) {
	return serve[apiv1.DiscardDeadLettersResponse](ctx, s, api.MethodDiscardDeadLetters, r)
}

func (s *server) PurgeDeadLetters(ctx context.Context, r *connect.Request[apiv1.PurgeDeadLettersRequest]) (*connect.Response[apiv1.PurgeDeadLettersResponse], error) {
	return serve[apiv1.PurgeDeadLettersResponse](ctx, s, api.MethodPurgeDeadLetters, r)
}
