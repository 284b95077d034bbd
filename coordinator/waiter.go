package coordinator

import (
	"errors"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator/internal/projection"
)

// MaxWaiters bounds the wait requests held at once, MaxWaitersPerCaller those of one caller (I10).
// Beyond them a request is answered at once with the saga's state, and the caller asks again.
const (
	MaxWaiters          = projection.MaxWaiters
	MaxWaitersPerCaller = projection.MaxWaitersPerCaller
)

// errStopping answers waiting callers when the coordinator stops. Otherwise they would ask again
// only after their own deadline.
var errStopping = errors.New("the coordinator is stopping; ask again")

// wait registers a waiter for a saga to come to rest. tell is called once, unless the waiter is
// removed. See projection.Wait.
func wait(p *projection.Projection, id contract.SagaID, caller string, tell func(*Result)) (w *projection.Waiter, moving bool) {
	return p.Wait(id, caller, func(at *projection.Change) {
		if at == nil {
			tell(&Result{Err: errStopping})
			return
		}
		tell(at.State.(*Result))
	})
}
