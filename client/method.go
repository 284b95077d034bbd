package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
)

// methods lists the requests of Do, and whether they may be executed twice.
var methods = map[string]bool{
	api.MethodGet:                true,
	api.MethodWait:               true,
	api.MethodHistory:            true,
	api.MethodList:               true,
	api.MethodCount:              true,
	api.MethodPoll:               true,
	api.MethodOperate:            false,
	api.MethodOperatePage:        false,
	api.MethodRemoveDamaged:      false,
	api.MethodRegisterDefinition: true,
	api.MethodListDefinitions:    true,
	api.MethodGetDefinition:      true,
	api.MethodCompareDefinitions: true,
	api.MethodListParticipants:   true,
	api.MethodGetOverview:        true,
	api.MethodFindOrphans:        true,
	api.MethodListDeadLetters:    true,
	api.MethodReplayDeadLetters:  false,
	api.MethodDiscardDeadLetters: false,
	api.MethodPurgeDeadLetters:   false,
}

// Do sends a request for which Client has no method of its own, and returns the response. method is
// an api.Method constant; its comment names the types of the request and the response. Start and
// Run have methods of their own, and participants subscribe by themselves: Do refuses these three.
//
// A request that only reads, and RegisterDefinition, is repeated like Get until it is answered, even
// if the coordinator is overloaded. Any other request is not repeated if the coordinator may have
// received it: after ErrUnavailable, read what has changed before you try again.
//
// On failure, Do returns ErrInvalid, ErrNotFound, ErrConflict, ErrIllegal, ErrOverloaded or
// ErrUnavailable, as the request requires.
func Do[Response, Request any](ctx context.Context, c *Client, method string, request *Request) (*Response, error) {
	repeatable, known := methods[method]
	if !known {
		return nil, invalid(method, "", fmt.Errorf("the method is %q; use one of the api.Method constants, and Client.Start or Client.Run to start a saga", method))
	}
	if request == nil {
		return nil, invalid(method, "", errors.New("the request is nil; give an empty one if it has no fields"))
	}
	id, hold := detailsOf(request)
	q, err := reading(method, id, request)
	if err != nil {
		return nil, err
	}
	q.hold, q.once, q.retryOverloaded = hold, !repeatable, repeatable
	q.moves = method == api.MethodOperate
	end := c.follow(ctx, q)
	response := new(Response)
	err = c.do(ctx, q, response)
	if end != nil {
		end(err)
	}
	if err != nil {
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
