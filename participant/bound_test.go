package participant

import (
	"context"
	"strings"
	"testing"
	"time"

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
	if o, _ := newOptions([]Option{Concurrency(5000)}); o.bundle() != transport.MaxBundleSize {
		t.Errorf("%d commands in a message", o.bundle())
	}
	if err := New("stock", &MemoryInbox{}, Prefix(strings.Repeat("p", transport.MaxPrefix+1))).Check(); err == nil || !strings.Contains(err.Error(), "is 65 bytes long; at most 64") {
		t.Errorf("a long prefix: %v", err)
	}
}

// TestSettings: 0 is the default, a negative value switches off what can be off, and nothing else is
// changed silently.
func TestSettings(t *testing.T) {
	set := func(opts ...Option) options {
		t.Helper()
		o, problems := newOptions(opts)
		if problems != nil {
			t.Errorf("problems: %v", problems)
		}
		return o
	}
	o := set(Concurrency(0), AckWait(0), MaxInFlight(0), GracePeriod(0), HandlerTimeout(0), Retention(0))
	if o.concurrency != 16 || o.ackWait != 30*time.Second || o.maxInFlight != 0 || o.gracePeriod != 20*time.Second || o.handlerTimeout > 0 || o.retention > 0 {
		t.Errorf("the defaults are %+v", o)
	}
	if o := set(GracePeriod(-1), HandlerTimeout(-1), Retention(-1)); o.gracePeriod != 0 || o.handlerTimeout > 0 || o.retention > 0 {
		t.Errorf("switched off: %+v", o)
	}
	set(Concurrency(1), AckWait(transport.MinAckWait), MaxInFlight(transport.MostInFlight))
	for want, opt := range map[string]Option{
		"Concurrency is -5; give 1 to ":               Concurrency(-5),
		"AckWait is 999ms; give 1s to 1h0m0s":         AckWait(transport.MinAckWait - time.Millisecond),
		"AckWait is 1h0m0.001s; give 1s to 1h0m0s":    AckWait(transport.MaxAckWait + time.Millisecond),
		"AckWait is -1s; give":                        AckWait(-time.Second),
		"MaxInFlight is -1; give 1 to 65536":          MaxInFlight(-1),
		"MaxInFlight is 65537; give 1 to 65536, or 0": MaxInFlight(transport.MostInFlight + 1),
	} {
		if err := New("stock", &MemoryInbox{}, opt).Check(); err == nil || !strings.Contains(err.Error(), `participant "stock": `+want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}
