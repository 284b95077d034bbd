package participant

import (
	"context"

	"github.com/amends-dev/amends/contract"
)

// Handle registers the handler of a command. The handler runs in the transaction tx. Its writes in
// tx are committed together with the record of its answer, or not at all. The handler must not
// commit or roll back tx, and must not wait for another step of the same participant.
//
// The handler's error determines the outcome. If the error is nil, the command is completed with
// the result. An error of Reject rejects the command for a business reason. An error of Fatal, or a
// request that cannot be decoded as Req, is a final failure. Any other error, and a panic, is a
// failure that may be retried. On a retry, the handler is called again and should pass the same
// KeyFrom(ctx) to the services that it calls.
func Handle[Tx, Req, Res any](p *Participant[Tx], c contract.Command[Req, Res], f func(ctx context.Context, tx Tx, request Req) (Res, error)) {
	p.register(c.Participant(), c.Action(), handler[Tx]{
		direction:   contract.DirectionDo,
		contentType: contentTypeOf[Res](),
		serve: func(ctx context.Context, tx Tx, in input) (Answer, error) {
			request, err := decode[Req]("request", in.request)
			if err != nil {
				return Answer{}, Fatal(err)
			}
			result, err := f(ctx, tx, request)
			if err != nil {
				return Answer{}, err
			}
			data, err := encode(result)
			if err != nil {
				return Answer{}, Fatal(err)
			}
			return Answer{Outcome: contract.OutcomeCompleted, Data: data}, nil
		},
	})
}

// NoResult converts a function without a result to a handler, for a command whose Res is struct{}:
//
//	participant.Handle(p, SendVoucher, participant.NoResult(sendVoucher)) // func(ctx, tx, Voucher) error
func NoResult[Tx, Req any](f func(ctx context.Context, tx Tx, request Req) error) func(ctx context.Context, tx Tx, request Req) (struct{}, error) {
	return func(ctx context.Context, tx Tx, request Req) (struct{}, error) {
		return struct{}{}, f(ctx, tx, request)
	}
}

// NoUndo is the handler of an undo that has nothing to do, because its do has no effect that must
// be undone:
//
//	participant.HandleUndo(p, CancelQuote, participant.NoUndo)
func NoUndo[Tx, Req, Res any](context.Context, Tx, contract.Undo[Req, Res]) error { return nil }

// HandleUndo registers the handler that compensates a do. The handler succeeds at most once per
// step. It is called only if the do was completed by this participant; the inbox answers all other
// undos. It gets the recorded result, even if the coordinator never received that result. Its error
// is interpreted as in Handle, except that a rejection is not recorded. If this process cannot
// decode the request or the result, the failure is not final, because a newer process may have
// written them.
func HandleUndo[Tx, Req, Res any](p *Participant[Tx], c contract.UndoCommand[Req, Res], f func(ctx context.Context, tx Tx, undo contract.Undo[Req, Res]) error, opts ...UndoOption) {
	h := handler[Tx]{
		direction: contract.DirectionUndo,
		serve: func(ctx context.Context, tx Tx, in input) (Answer, error) {
			var undo contract.Undo[Req, Res]
			var err error
			if undo.Request, err = decode[Req]("request", in.request); err != nil {
				return Answer{}, err // not final; the newer process that wrote the request can undo the step
			}
			if in.resultKnown() {
				if in.recorded {
					in.result.contentType = contentTypeOf[Res]()
				}
				result, err := decode[Res]("result", in.result)
				if err != nil {
					return Answer{}, err
				}
				undo.Result = &result
			}
			if err := f(ctx, tx, undo); err != nil {
				return Answer{}, err
			}
			return Answer{Outcome: contract.OutcomeCompleted}, nil
		},
	}
	var o undoOptions
	for _, opt := range opts {
		opt(&o)
	}
	h.unrecorded = o.unrecorded
	p.register(c.Participant(), c.Action(), h)
}

// UndoOption changes how an undo is handled.
type UndoOption func(*undoOptions)

type undoOptions struct{ unrecorded bool }

// UndoUnrecorded also calls the undo handler if no do is recorded. The result is then unknown. Use
// it for steps whose do has effects outside the transaction. For example, a do that called a
// payment provider and then failed has recorded nothing, but may have transferred money. The
// handler must use the do's idempotency key to find out whether there is something to undo.
func UndoUnrecorded() UndoOption {
	return func(o *undoOptions) { o.unrecorded = true }
}
