package coordinator_test

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/transport"
)

// TestWhoWasNeverThere checks how a participant that never ran is recognised. The coordinator
// creates the subscriptions, so their existence proves nothing; pull requests do.
func TestWhoWasNeverThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		watched(t, s)
		for name, c := range map[string]struct {
			load    transport.Load
			unknown bool
		}{
			"no subscription":         {transport.Load{}, true},
			"one that nobody uses":    {consumers(transport.ConsumerLoad{Name: "stock", Pending: 3}), true},
			"somebody asks":           {consumers(transport.ConsumerLoad{Name: "stock", Asking: 1}), false},
			"somebody was there once": {consumers(transport.ConsumerLoad{Name: "stock", Delivered: time.Now().Add(-time.Hour)}), false},
		} {
			s.set(func(s *stage) { s.load = c.load })
			time.Sleep(time.Minute) // virtual: until the bus is asked again
			e, err := s.Request(t.Context(), &transport.Envelope{
				Subject: transport.Subjects{}.API(api.MethodListParticipants), Type: transport.TypeRequest, Expires: time.Now().Add(time.Minute),
			})
			var reply api.ListParticipantsResponse
			if err == nil {
				err = json.Unmarshal(e.Data, &reply)
			}
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(reply.Participants, func(p api.Participant) bool { return p.Name == "stock" })
			if i < 0 || reply.Participants[i].Unknown != c.unknown {
				t.Errorf("%s: %+v, want unknown %t", name, reply.Participants, c.unknown)
			}
		}
	})
}

func consumers(c transport.ConsumerLoad) transport.Load {
	c.Stream = transport.StreamCommands
	return transport.Load{Consumers: []transport.ConsumerLoad{c}}
}
