package api

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/contract"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// signOfLife is the maximum time between two messages of a stream; a keep-alive is sent if nothing
// changes.
const signOfLife = 15 * time.Second

// Watch streams the matching sagas, each time one of them changes.
func (s *server) Watch(ctx context.Context, r *connect.Request[apiv1.WatchRequest], stream *connect.ServerStream[apiv1.WatchResponse]) error {
	if r.Msg.Id != "" && r.Msg.Filter != nil {
		return invalid("filter", "id is given as well; watch one saga, or all that a filter matches")
	}
	filter, err := filterOf(r.Msg.Filter)
	if err != nil {
		return err
	}
	give, err := s.streams.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	w := &watch{s: s, id: r.Msg.Id, filter: filter, stream: stream}
	return w.run(ctx, r.Msg.OnlyChanges)
}

// watch is one open stream.
type watch struct {
	s      *server
	id     string
	filter transport.Filter
	after  string // position after the last change that was sent
	stream *connect.ServerStream[apiv1.WatchResponse]
}

func (w *watch) run(ctx context.Context, onlyChanges bool) error {
	if _, err := w.poll(ctx, 0); err != nil { // get the starting position before reading anything
		return err
	}
	if err := w.begin(ctx, !onlyChanges, 0); err != nil {
		return err
	}
	for {
		reply, err := w.poll(ctx, signOfLife)
		if err != nil {
			return err
		}
		missed := int64(reply.Missed)
		for i := range reply.Sagas {
			m := &apiv1.WatchResponse{Saga: sagaMessage(&reply.Sagas[i].Saga), Left: reply.Sagas[i].Left, Missed: missed}
			if err := w.stream.Send(m); err != nil {
				return err
			}
			missed = 0
		}
		if reply.Lost {
			err = w.begin(ctx, true, missed)
		} else if len(reply.Sagas) == 0 {
			err = w.stream.Send(&apiv1.WatchResponse{Missed: missed})
		}
		if err != nil {
			return err
		}
	}
}

// poll requests changes from the coordinator.
func (w *watch) poll(ctx context.Context, hold time.Duration) (*transport.WatchReply, error) {
	reply, err := query[transport.WatchReply](ctx, w.s.coordinator, transport.APIWatch,
		&transport.Envelope{Saga: contract.SagaID(w.id), Expires: w.s.clock().Add(hold)}, &transport.WatchQuery{Filter: w.filter, After: w.after})
	if err != nil {
		return nil, err
	}
	w.after = reply.Position
	return reply, nil
}

// begin sends the current state of all matching sagas, and a mark at the end. A saga that changes
// in the meantime does so after the starting position, and is therefore sent again.
func (w *watch) begin(ctx context.Context, all bool, missed int64) error {
	var err error
	switch {
	case w.id != "": // even without all, so that a missing saga is reported at once
		var status *transport.Status
		if status, err = ask[transport.Status](ctx, w.s.coordinator, transport.APIGet, &transport.Envelope{Saga: contract.SagaID(w.id)}); err == nil && all {
			err = w.stream.Send(&apiv1.WatchResponse{Saga: sagaMessage(status), Missed: missed})
			missed = 0
		}
	case all:
		missed, err = w.list(ctx, missed)
	}
	if err != nil {
		return err
	}
	return w.stream.Send(&apiv1.WatchResponse{CaughtUp: true, Missed: missed})
}

func (w *watch) list(ctx context.Context, missed int64) (int64, error) {
	for cursor := ""; ; {
		page, err := query[transport.ListReply](ctx, w.s.coordinator, transport.APIList, &transport.Envelope{},
			&transport.ListQuery{Filter: w.filter, Limit: 1000, Cursor: cursor})
		if err != nil {
			return missed, err
		}
		for i := range page.Sagas {
			if err := w.stream.Send(&apiv1.WatchResponse{Saga: sagaMessage(&page.Sagas[i]), Missed: missed}); err != nil {
				return missed, err
			}
			missed = 0
		}
		if cursor = page.Next; cursor == "" {
			return missed, nil
		}
	}
}
