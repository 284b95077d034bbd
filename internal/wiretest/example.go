package wiretest

import (
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Example describes one message.
type Example struct {
	Name     string // name of its file in proto/testdata, without .txt
	Envelope transport.Envelope
	Reply    string // NATS reply subject of a request, or empty
	// Extra holds headers that are not attributes of the envelope, by name.
	Extra map[string]string
	// Bundle holds the messages of a bundle, which make up the bundle's data.
	Bundle []transport.Envelope
	// InBundle reports whether the message is in a bundle. Its headers are then in the order of the
	// envelope's attributes.
	InBundle bool
	// OneWay reports whether the message is only decoded. Our own encoders add more attributes to
	// such a message.
	OneWay bool
}

const (
	trace   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	answers = "saga.event.payment.order-42.hod85snpc0.charge-card."
	charge  = `{"order_id":"order-42","amount_cents":4200}`
)

// noon is the start time of order-42. born is the birth that results from this time.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const born contract.Birth = 1_795_262_400_000_000 // hod85snpc0

// owner is the sender of commands and announcements.
var owner = transport.Owner{Store: "019aa61c-5e00-7c3d-8b1f-2a9d4c6e8f01-0", Claim: 1_795_262_300_125_000}

// at returns the time that is the given number of seconds after noon.
func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// Examples returns all messages, in the order of docs/WIRE.md.
func Examples() []Example {
	return []Example{
		command(), undoCommand(),
		completed(), rejected(), failed(), failedFinal(), shortest(), bundle(),
		lifecycle(), deadLetter(),
		startRequest(), startReply(), errorReply(),
	}
}

func command() Example {
	return Example{Name: "command", Envelope: transport.Envelope{
		Subject:     "saga.command.payment.charge-card",
		DedupID:     "4b1f0b8e5c0d4a6f9e7d3c2b1a098f7e",
		ID:          "order-42/hod85snpc0/charge-card/do/1",
		Source:      "/amends/coordinator",
		Type:        transport.TypeCommand,
		Time:        at(0),
		ContentType: transport.JSON,
		TraceParent: trace,
		TraceState:  "vendor=abc",
		Saga:        "order-42",
		Birth:       born,
		Definition:  contract.DefinitionRef{Name: "checkout", Version: 1},
		Step:        "charge-card",
		Direction:   contract.DirectionDo,
		Attempt:     1,
		ReplyTo:     answers + "do.1",
		Expires:     at(30),
		Owner:       owner,
		Data:        []byte(charge),
	}}
}

func undoCommand() Example {
	e := command().Envelope
	e.Subject = "saga.command.payment.refund-card"
	e.DedupID = "c7d90a54e21b4f3b8a6655d0f1e2c3b4"
	e.ID = "order-42/hod85snpc0/charge-card/undo/1"
	e.Time, e.Expires = at(1.25), at(31.25)
	e.TraceState = ""
	e.Direction = contract.DirectionUndo
	e.ReplyTo = answers + "undo.1"
	e.Data = []byte(`{"request":` + charge + `,"result":{"receipt":"r-17"}}`)
	return Example{Name: "undo-command", Envelope: e}
}

// answer returns the attributes that all answers to command have in common.
func answer(outcome contract.Outcome, kind, dedup string) transport.Envelope {
	return transport.Envelope{
		Subject:     answers + "do.1",
		DedupID:     dedup,
		ID:          "order-42/hod85snpc0/charge-card/do/1/" + string(outcome),
		Source:      "/amends/participant/payment",
		Type:        kind,
		Time:        at(0.125),
		TraceParent: trace,
		TraceState:  "vendor=abc",
		Saga:        "order-42",
		Birth:       born,
		Definition:  contract.DefinitionRef{Name: "checkout", Version: 1},
		Step:        "charge-card",
		Direction:   contract.DirectionDo,
		Attempt:     1,
	}
}

func completed() Example {
	e := answer(contract.OutcomeCompleted, transport.TypeCompleted, "0b2f6c1e-8f5e-4d57-9d4e-5f0a3c1b2d3e")
	e.ContentType = transport.JSON
	e.Data = []byte(`{"receipt":"r-17"}`)
	return Example{Name: "completed", Envelope: e}
}

func rejected() Example {
	e := answer(contract.OutcomeRejected, transport.TypeRejected, "6a0d9f52-3c1c-4a77-8a57-0e8c2b9d4f61")
	e.Reason = "card declined: 100% of the limit is used"
	return Example{Name: "rejected", Envelope: e}
}

func bundled() []transport.Envelope {
	first, second := completed().Envelope, rejected().Envelope
	second.Saga, second.DedupID, second.ID = "order-43", "1b6f6c5e-8f7d-4d17-9d4e-5f0a3c1b2d3e", "order-43/hod85snpc0/charge-card/do/1/rejected"
	second.Subject = "saga.event.payment.order-43.hod85snpc0.charge-card.do.1"
	return []transport.Envelope{first, second}
}

func bundle() Example {
	return Example{Name: "bundle", Bundle: bundled(), Envelope: transport.Envelope{
		Subject:     "saga.event.payment.bundle.2",
		DedupID:     "5b54be1a0f5f4c0a8a5d0c7be1a3f3d2",
		ID:          "order-42/hod85snpc0/charge-card/do/1/completed+1",
		Source:      "/amends/participant/payment",
		Type:        transport.TypeBundle,
		ContentType: "application/vnd.amends.bundle",
	}}
}

func failed() Example {
	e := answer(contract.OutcomeFailed, transport.TypeFailed, "d3b07384-d9a0-4c9b-8f3e-2f1d6e5c4b3a")
	e.Reason = "the bank does not answer"
	return Example{Name: "failed", Envelope: e}
}

func failedFinal() Example {
	e := answer(contract.OutcomeFailed, transport.TypeFailed, "1f3870be-274f-4c49-b3e3-1a0c6728957f")
	e.Reason = "amount_cents is missing"
	e.Final = true
	return Example{Name: "failed-final", Envelope: e}
}

// shortest returns an answer with the fewest attributes. All other attributes are in its subject.
func shortest() Example {
	return Example{Name: "shortest", OneWay: true, Envelope: transport.Envelope{
		Subject: answers + "do.1",
		Type:    transport.TypeCompleted,
	}}
}

func lifecycle() Example {
	return Example{Name: "lifecycle", Envelope: transport.Envelope{
		Subject:     "saga.lifecycle.checkout.compensated",
		DedupID:     "8d969eef6ecad3c29a3a629280e686cf",
		ID:          "order-42/hod85snpc0/7/0",
		Source:      "/amends/coordinator",
		Type:        transport.TypeLifecycle,
		Time:        at(2.5),
		Owner:       owner,
		TraceParent: trace,
		Saga:        "order-42",
		Birth:       born,
		Definition:  contract.DefinitionRef{Name: "checkout", Version: 1},
		Data: []byte(`{"id":"order-42","definition":{"name":"checkout","version":1},"phase":"compensated","revision":7,"started":"2026-11-21T12:00:00Z",` +
			`"updated":"2026-11-21T12:00:02.5Z","ended":"2026-11-21T12:00:02.5Z","deadline":"2026-11-21T12:15:00Z","reason":"rejected at ship: no courier",` +
			`"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","birth":"hod85snpc0"}`),
	}}
}

func deadLetter() Example {
	return Example{
		Name: "dead-letter",
		Envelope: transport.Envelope{
			Subject: "saga.dead.events.payment",
			DedupID: "dead-Nm4zGqYb1xX7Lr0sT2uVwE-events-918",
			ID:      "SAGA_EVENTS/918",
			Source:  "/amends/bus",
			Type:    transport.TypeDead,
			Time:    at(0.2),
			Reason:  `attribute ce-type "done": expected dev.amends.completed.v1 or dev.amends.rejected.v1 or dev.amends.failed.v1`,
			Data:    []byte(`{"receipt":"r-17"}`),
		},
		Extra: map[string]string{
			"dead-stream":       "events",
			"dead-subject":      answers + "do.1",
			"dead-sequence":     "918",
			"dead-header-block": "NATS/1.0%0D%0Ace-type:%20done%0D%0A%0D%0A",
		},
	}
}

func startRequest() Example {
	return Example{Name: "start-request", Reply: "_INBOX.k3Xo9mVbQ2eYw7Zc.1", Envelope: transport.Envelope{
		Subject:     "saga.api.start",
		ID:          "9c858901-8a57-4791-81fe-4c455b099bc9",
		Source:      "/amends/client",
		Type:        transport.TypeRequest,
		Time:        at(-0.05),
		ContentType: transport.JSON,
		TraceParent: trace,
		Saga:        "order-42",
		Definition:  contract.DefinitionRef{Name: "checkout"},
		Expires:     at(4.95),
		Data:        []byte(charge),
	}}
}

func startReply() Example {
	return Example{Name: "start-reply", Envelope: transport.Envelope{
		Subject: "_INBOX.k3Xo9mVbQ2eYw7Zc.1",
		Source:  "/amends/coordinator",
		Type:    transport.TypeReply,
		Time:    at(0.01),
		Data: []byte(`{"saga":{"id":"order-42","definition":{"name":"checkout","version":1},"phase":"running","revision":1,` +
			`"started":"2026-11-21T12:00:00Z","updated":"2026-11-21T12:00:00Z"}}`),
	}}
}

func errorReply() Example {
	return Example{
		Name: "error-reply",
		Envelope: transport.Envelope{
			Subject: "_INBOX.k3Xo9mVbQ2eYw7Zc.2",
			Source:  "/amends/coordinator",
			Type:    transport.TypeReply,
			Time:    at(8),
			Reason:  "saga order-43: no such saga",
			Code:    string(api.CodeNotFound),
		},
		Extra: map[string]string{
			"Nats-Service-Error":      "saga%20order-43:%20no%20such%20saga",
			"Nats-Service-Error-Code": "not_found",
		},
	}
}
