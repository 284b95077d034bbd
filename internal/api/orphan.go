package api

import (
	"context"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// FindOrphans says of which keys of an inbox the coordinator does not know what was done.
func (s *server) FindOrphans(ctx context.Context, r *connect.Request[apiv1.FindOrphansRequest]) (*connect.Response[apiv1.FindOrphansResponse], error) {
	reply, err := query[transport.OrphansReply](ctx, s.coordinator, transport.APIOrphans, &transport.Envelope{}, &transport.OrphansQuery{Keys: r.Msg.Keys})
	if err != nil {
		return nil, err
	}
	out := &apiv1.FindOrphansResponse{}
	for i := range reply.Orphans {
		out.Orphans = append(out.Orphans, orphanMessage(&reply.Orphans[i]))
	}
	return connect.NewResponse(out), nil
}

func orphanMessage(o *transport.Orphan) *apiv1.Orphan {
	m := &apiv1.Orphan{
		Key: o.Key, Kind: string(o.Kind), Started: stamp(o.Started), Found: o.Found, Phase: string(o.Phase), Status: string(o.Status),
	}
	if o.Birth != 0 {
		m.Birth = o.Birth.String()
	}
	return m
}
