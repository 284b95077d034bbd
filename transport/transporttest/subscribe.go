package transporttest

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/transport"
)

// ServeSubscriptions replies to participants' requests for their consumers until the test ends, as
// a coordinator does. bus is the coordinator's bus.
func ServeSubscriptions(t *testing.T, bus interface {
	transport.Responder
	transport.Provisioner
}) {
	t.Helper()
	var subjects transport.Subjects
	stop, err := bus.Respond(subjects.Subscribe("*"), "coordinator", func(request *transport.Envelope, reply func(*transport.Envelope)) {
		var q api.SubscribeRequest
		if err := json.Unmarshal(request.Data, &q); err != nil {
			t.Error(err)
		}
		go func() {
			answer, err := bus.Provide(context.Background(), strings.TrimPrefix(request.Subject, subjects.Subscribe("")), q)
			if err != nil {
				reply(&transport.Envelope{Code: string(api.CodeUnavailable), Reason: err.Error()})
				return
			}
			data, err := json.Marshal(answer)
			if err != nil {
				t.Error(err)
			}
			reply(&transport.Envelope{Data: data})
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}
