package client

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
)

// requestKind describes one kind of request.
type requestKind struct {
	request, response reflect.Type
	repeatable        bool          // whether the request may be executed twice
	work              time.Duration // how long the coordinator may work on it, beyond what a short request takes
}

func kind[Request, Response any](repeatable bool, work time.Duration) requestKind {
	return requestKind{reflect.TypeFor[Request](), reflect.TypeFor[Response](), repeatable, work}
}

// maxWork is the longest time that the coordinator works on a request about many objects.
const maxWork = time.Minute

// methods lists the requests of Do.
var methods = map[string]requestKind{
	api.MethodGet:                kind[api.GetRequest, api.GetResponse](true, 0),
	api.MethodWait:               kind[api.WaitRequest, api.WaitResponse](true, 0),
	api.MethodHistory:            kind[api.HistoryRequest, api.HistoryResponse](true, 0),
	api.MethodList:               kind[api.ListRequest, api.ListResponse](true, 0),
	api.MethodCount:              kind[api.CountRequest, api.CountResponse](true, 0),
	api.MethodPoll:               kind[api.PollRequest, api.PollResponse](true, 0),
	api.MethodOperate:            kind[api.OperateRequest, api.OperateResponse](false, 0),
	api.MethodOperatePage:        kind[api.OperatePageRequest, api.OperatePageResponse](false, maxWork),
	api.MethodRemoveDamaged:      kind[api.RemoveDamagedRequest, api.RemoveDamagedResponse](false, 0),
	api.MethodRegisterDefinition: kind[api.RegisterDefinitionRequest, api.RegisterDefinitionResponse](true, 0),
	api.MethodListDefinitions:    kind[api.ListDefinitionsRequest, api.ListDefinitionsResponse](true, 0),
	api.MethodGetDefinition:      kind[api.GetDefinitionRequest, api.GetDefinitionResponse](true, 0),
	api.MethodCompareDefinitions: kind[api.CompareDefinitionsRequest, api.CompareDefinitionsResponse](true, 0),
	api.MethodListParticipants:   kind[api.ListParticipantsRequest, api.ListParticipantsResponse](true, 0),
	api.MethodGetOverview:        kind[api.GetOverviewRequest, api.GetOverviewResponse](true, 0),
	api.MethodFindOrphans:        kind[api.FindOrphansRequest, api.FindOrphansResponse](true, 0),
	api.MethodListDeadLetters:    kind[api.ListDeadLettersRequest, api.ListDeadLettersResponse](true, 0),
	api.MethodReplayDeadLetters:  kind[api.ReplayDeadLettersRequest, api.ReplayDeadLettersResponse](false, maxWork),
	api.MethodDiscardDeadLetters: kind[api.DiscardDeadLettersRequest, api.DiscardDeadLettersResponse](false, maxWork),
	api.MethodPurgeDeadLetters:   kind[api.PurgeDeadLettersRequest, api.PurgeDeadLettersResponse](false, maxWork),
}

// Do sends a request for which Client has no method of its own, and returns the response. method is
// an api.Method constant; its comment names the types of the request and the response. Start and
// Run have methods of their own, and participants subscribe by themselves: Do refuses these three.
//
// A request that only reads, and RegisterDefinition, is repeated like Get until it is answered, even
// if the coordinator is overloaded. Any other request is not repeated if the coordinator may have
// received it: after ErrUnavailable, read what has changed before you try again.
//
// On failure, Do returns ErrInvalid (also if the types are not those of the method), ErrNotFound,
// ErrConflict, ErrIllegal, ErrOverloaded or ErrUnavailable, as the request requires.
func Do[Response, Request any](ctx context.Context, c *Client, method string, request *Request) (*Response, error) {
	if request == nil {
		return nil, invalid(method, "", errors.New("the request is nil; give an empty one if it has no fields"))
	}
	response := new(Response)
	if err := c.request(ctx, method, request, response); err != nil {
		return nil, err
	}
	return response, nil
}

// detailsOf returns the saga of a request, if it is about one, and how long the coordinator may
// hold the request.
func detailsOf(request any) (id contract.SagaID, hold time.Duration) {
	switch r := request.(type) {
	case *api.GetRequest:
		return r.ID, 0
	case *api.HistoryRequest:
		return r.ID, 0
	case *api.OperateRequest:
		return r.ID, 0
	case *api.RemoveDamagedRequest:
		return r.ID, 0
	case *api.WaitRequest:
		return r.ID, held(r.Timeout)
	case *api.PollRequest:
		return r.ID, held(r.Timeout)
	}
	return "", 0
}

// held returns how long the coordinator holds a request with this timeout.
func held(timeout *api.Duration) time.Duration {
	return max(min(timeout.Or(defaultHold), maxHold), 0)
}
