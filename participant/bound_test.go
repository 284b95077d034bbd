package participant

import (
	"context"
	"strings"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Neither a handler nor a command can cause an answer that the bus refuses. A long reason is cut,
// and an invalid trace context is dropped.
func TestAnswersAreBounded(t *testing.T) {
	long := strings.Repeat("é", 35_000)
	p := New("stock", &MemoryInbox{})
	Handle(p, contract.NewCommand[int, int]("stock", "count"), func(context.Context, *MemoryTx, int) (int, error) { return 0, Reject(long) })
	answer, err := p.Answer(t.Context(), &transport.Envelope{
		Subject: "saga.command.stock.count", Type: transport.TypeCommand, ReplyTo: "saga.event.stock.s1.7.count.do.1", ID: "s1/7/count/do/1",
		Saga: "s1", Birth: 7, Step: "count", Direction: contract.DirectionDo, Attempt: 1, TraceParent: long, TraceState: long, Data: []byte("1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Reason) > contract.MaxReason || !strings.HasSuffix(answer.Reason, "é…") || answer.TraceParent+answer.TraceState != "" {
		t.Errorf("reason of %d bytes, trace context of %d", len(answer.Reason), len(answer.TraceParent+answer.TraceState))
	}
	if err := New("stock", &MemoryInbox{}, SubjectPrefix(strings.Repeat("p", transport.MaxPrefix+1))).Check(); err == nil || !strings.Contains(err.Error(), "is 65 bytes long, at most 64") {
		t.Errorf("a long prefix: %v", err)
	}
}
