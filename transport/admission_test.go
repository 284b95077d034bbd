package transport_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

func TestMatchesAndOverlap(t *testing.T) {
	cases := []struct {
		filter, subject string
		matches         bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.c", false}, {"a.b", "a.b.c", false}, {"a.b.c", "a.b", false},
		{"a.*", "a.b", true}, {"a.*", "a", false}, {"a.*", "a.b.c", false}, {"*.b", "a.b", true},
		{"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a", false}, {">", "a", true}, {"a.*.>", "a.b", false}, {"a.*.>", "a.b.c", true},
	}
	for _, c := range cases {
		if got := transport.Matches(c.filter, c.subject); got != c.matches {
			t.Errorf("Matches(%q, %q) is %v", c.filter, c.subject, got)
		}
	}
	for _, c := range []struct {
		a, b     string
		overlaps bool
	}{
		{"a.b", "a.b", true}, {"a.*", "a.b", true}, {"a.*", "*.b", true}, {"a.*", "b.*", false}, {"a.>", "a.b.c", true},
		{"a.>", "b.>", false}, {"a.>", "*.x", true}, {"a.b", "a.b.c", false}, {">", "x", true}, {"a.b.>", "a.*", false}, {"a.b.>", "a.*.c", true},
	} {
		if got, back := transport.Overlap(c.a, c.b), transport.Overlap(c.b, c.a); got != c.overlaps || back != c.overlaps {
			t.Errorf("Overlap(%q, %q) is %v and %v", c.a, c.b, got, back)
		}
	}
}

// Two filters that match the same subject overlap.
func TestOverlapFollowsFromMatches(t *testing.T) {
	filter := rapid.StringMatching(`(a|b|\*)(\.(a|b|\*)){0,3}(\.>)?`)
	subject := rapid.StringMatching(`(a|b)(\.(a|b)){0,4}`)
	rapid.Check(t, func(t *rapid.T) {
		x, y, s := filter.Draw(t, "x"), filter.Draw(t, "y"), subject.Draw(t, "subject")
		if transport.Matches(x, s) && transport.Matches(y, s) && !transport.Overlap(x, y) {
			t.Fatalf("%q and %q both match %q and do not overlap", x, y, s)
		}
	})
}

func TestStreamOf(t *testing.T) {
	s := transport.Subjects{}
	key := contract.Key{Saga: "order-1", Birth: 1, Step: "reserve", Direction: contract.DirectionDo}
	for subject, want := range map[string]transport.Stream{
		s.Command("inventory", "reserve"):                        transport.StreamCommands,
		s.Event("inventory", key, 1):                             transport.StreamEvents,
		s.Lifecycle("checkout", string(contract.PhaseCompleted)): transport.StreamLifecycle,
		s.DeadLetter(transport.StreamEvents, "x"):                transport.StreamDeadLetters,
		"saga.api.start":                                         "",
		"saga.command":                                           "",
		"saga.command.":                                          "",
		"saga.commands.x":                                        "",
		"saga.command.*.x":                                       "",
		"saga.command.inventory.>":                               "",
		"saga.command.inventory..x":                              "",
		"saga.command.inventory.x\x7f":                           "",
		"saga.command.inventory.é":                               transport.StreamCommands,
		"saga.command.inventory.a b":                             "",
		"saga.command.inventory.a\r\nPUB x":                      "",
		"":                                                       "",
		"saga.command." + strings.Repeat("x", 10<<10) + ".":      "",
	} {
		got, err := s.StreamOf(subject)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("StreamOf(%.60q) is %q, %v; want %q", subject, got, err, want)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
}

// A command is refused if a required attribute is missing.
func TestAdmitCommand(t *testing.T) {
	right := transport.Envelope{
		Type: transport.TypeCommand, Saga: "order-1", Birth: 36, Step: "reserve", Direction: contract.DirectionDo, Attempt: 2, ReplyTo: "saga.event.inventory.order-1.10.reserve.do.2",
	}
	s := transport.Subjects{}
	e := right
	if err := s.Admit(transport.StreamCommands, &e); err != nil || e.ID != "order-1/10/reserve/do/2" {
		t.Errorf("id %q, %v", e.ID, err)
	}
	for name, spoil := range map[string]func(*transport.Envelope){
		transport.AttrType:      func(e *transport.Envelope) { e.Type = transport.TypeCompleted },
		transport.AttrSaga:      func(e *transport.Envelope) { e.Saga = "" },
		transport.AttrBirth:     func(e *transport.Envelope) { e.Birth = 0 },
		transport.AttrStep:      func(e *transport.Envelope) { e.Step = "" },
		transport.AttrDirection: func(e *transport.Envelope) { e.Direction = "" },
		transport.AttrAttempt:   func(e *transport.Envelope) { e.Attempt = 0 },
		transport.AttrReplyTo:   func(e *transport.Envelope) { e.ReplyTo = "" },
	} {
		e := right
		spoil(&e)
		if err := s.Admit(transport.StreamCommands, &e); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without a right %s: %v", name, err)
		}
	}
}

// The subject of every answer can be parsed.
func TestParseEventRoundTrip(t *testing.T) {
	name := rapid.StringMatching(`[a-z][a-z0-9-]{0,63}`)
	rapid.Check(t, func(t *rapid.T) {
		s := transport.Subjects{Prefix: rapid.SampledFrom([]string{"", "acme.saga"}).Draw(t, "prefix")}
		participant := name.Draw(t, "participant")
		key := contract.Key{
			Saga:      contract.SagaID(rapid.StringMatching(`[A-Za-z0-9_:=@-]{1,128}`).Draw(t, "saga")),
			Birth:     contract.Birth(rapid.Int64Range(1, int64(contract.MaxBirth)).Draw(t, "birth")),
			Step:      contract.StepName(name.Draw(t, "step")),
			Direction: rapid.SampledFrom([]contract.Direction{contract.DirectionDo, contract.DirectionUndo}).Draw(t, "direction"),
		}
		attempt := rapid.IntRange(1, 1<<31-1).Draw(t, "attempt")
		gotParticipant, gotKey, gotAttempt, err := s.ParseEvent(s.Event(participant, key, attempt))
		if err != nil || gotParticipant != participant || gotKey != key || gotAttempt != attempt {
			t.Fatalf("%s %s %d, %v", gotParticipant, gotKey, gotAttempt, err)
		}
	})
}

func FuzzAdmitEvent(f *testing.F) {
	f.Add("saga.event.inventory.order-1.hod85snpc0.reserve.do.1", transport.TypeCompleted)
	f.Add("saga.event......", "x")
	f.Fuzz(func(t *testing.T, subject, kind string) {
		e := transport.Envelope{Subject: subject, Type: kind}
		if err := (transport.Subjects{}).Admit(transport.StreamEvents, &e); err == nil && (e.Key().Check() != nil || e.Attempt < 1) {
			t.Errorf("%q was admitted as %+v", subject, e)
		}
	})
}

// TestRepeatableStreamsCarryOnlyWhatIsRepeated checks which types of messages the streams carry that
// may be in memory. Whoever adds a type has to answer first who sends it again after the bus has lost
// it although its publish was acknowledged (I2, docs/adr/0044-queues-in-memory.md). A message that
// nobody repeats must be a request, or be on another stream.
func TestRepeatableStreamsCarryOnlyWhatIsRepeated(t *testing.T) {
	for _, stream := range transport.Streams {
		carries := map[transport.Stream]string{
			transport.StreamCommands: transport.TypeCommand,
			transport.StreamEvents:   transport.TypeCompleted + " or " + transport.TypeRejected + " or " + transport.TypeFailed,
		}[stream]
		if stream.Repeatable() != (carries != "") {
			t.Errorf("stream %s: Repeatable is %t", stream, stream.Repeatable())
		}
		e := &transport.Envelope{Type: "dev.amends.unknown.v1", Subject: transport.Subjects{}.Event("bank", contract.Key{Saga: "s", Birth: 1, Step: "pay", Direction: contract.DirectionDo}, 1)}
		err := transport.Subjects{}.Admit(stream, e)
		if err == nil || stream.Repeatable() && !strings.HasSuffix(err.Error(), "expected "+carries) {
			t.Errorf("stream %s: an unknown type is answered %v, want %q", stream, err, "expected "+carries)
		}
	}
}
