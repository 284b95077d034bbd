package httpapi

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/api"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// signOfLife is the maximum time between two messages of a stream; a keep-alive is sent if nothing
// changes.
const signOfLife = 15 * time.Second

// Watch streams each matching saga every time that saga changes. It combines Poll with Get or List.
func (s *server) Watch(ctx context.Context, r *connect.Request[apiv1.WatchRequest], stream *connect.ServerStream[apiv1.WatchResponse]) error {
	value, err := valueOf(r.Msg)
	if err != nil {
		return err
	}
	request, _ := value.(*api.WatchRequest)
	give, err := s.streams.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	w := &watch{coordinator: s.coordinator, poll: api.PollRequest{ID: request.ID, Filter: request.Filter}, stream: stream}
	return w.run(ctx, request.OnlyChanges)
}

// watch is one open stream.
type watch struct {
	coordinator Coordinator
	poll        api.PollRequest // the next request; After is the position after the last change that was sent
	stream      *connect.ServerStream[apiv1.WatchResponse]
	missed      int // changes that were missed since the last message
}

func (w *watch) run(ctx context.Context, onlyChanges bool) error {
	if _, err := w.changes(ctx, 0); err != nil { // get the starting position before reading anything
		return err
	}
	if err := w.begin(ctx, !onlyChanges); err != nil {
		return err
	}
	for {
		page, err := w.changes(ctx, signOfLife)
		if err != nil {
			return err
		}
		w.missed = page.Missed
		for _, one := range page.Sagas {
			if err := w.send(api.WatchResponse{Saga: one.Saga, Left: one.Left}); err != nil {
				return err
			}
		}
		if page.Lost {
			if err = w.send(api.WatchResponse{Restarted: true}); err == nil {
				err = w.begin(ctx, true)
			}
		} else if len(page.Sagas) == 0 {
			err = w.send(api.WatchResponse{})
		}
		if err != nil {
			return err
		}
	}
}

// changes returns what has changed since the last request. If nothing has changed, it waits up to
// timeout for a change.
func (w *watch) changes(ctx context.Context, timeout time.Duration) (*api.PollResponse, error) {
	w.poll.Timeout = api.For(timeout)
	page, err := ask[api.PollResponse](ctx, w.coordinator, api.MethodPoll, &w.poll)
	if err != nil {
		return nil, err
	}
	w.poll.Position = page.Position
	return page, nil
}

// begin sends the current state of all matching sagas if all is set, and then the message CaughtUp.
// A saga that changes in the meantime changes after the starting position, and is therefore sent
// again.
func (w *watch) begin(ctx context.Context, all bool) error {
	var err error
	switch {
	case w.poll.ID != "": // even without all, so that a missing saga is reported at once
		var one *api.GetResponse
		if one, err = ask[api.GetResponse](ctx, w.coordinator, api.MethodGet, &api.GetRequest{ID: w.poll.ID}); err == nil && all {
			err = w.send(api.WatchResponse{Saga: one.Saga})
		}
	case all:
		err = w.list(ctx)
	}
	if err != nil {
		return err
	}
	return w.send(api.WatchResponse{CaughtUp: true})
}

func (w *watch) list(ctx context.Context) error {
	for request := (api.ListRequest{Filter: w.poll.Filter, Limit: 1000}); ; {
		page, err := ask[api.ListResponse](ctx, w.coordinator, api.MethodList, &request)
		if err != nil {
			return err
		}
		for i := range page.Sagas {
			if err := w.send(api.WatchResponse{Saga: &page.Sagas[i]}); err != nil {
				return err
			}
		}
		if request.Cursor = page.NextCursor; request.Cursor == "" {
			return nil
		}
	}
}

// send sends a message with the number of missed changes.
func (w *watch) send(response api.WatchResponse) error {
	response.Missed, w.missed = w.missed, 0
	m, err := messageOf[apiv1.WatchResponse](&response)
	if err != nil {
		return err
	}
	return w.stream.Send(m)
}
