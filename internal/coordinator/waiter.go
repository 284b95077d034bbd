package coordinator

import (
	"errors"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator/internal/projection"
)

// MaxWaiters bounds the wait requests held at once, and MaxWaitersPerCaller the wait requests of
// one caller (I10). A request beyond these limits is answered at once with the saga's state, and
// the caller asks again.
const (
	MaxWaiters          = projection.MaxWaiters
	MaxWaitersPerCaller = projection.MaxWaitersPerCaller
)

// errStopping is sent to waiting callers when the coordinator stops. Otherwise they would retry
// only after their own deadline.
var errStopping = errors.New("the coordinator is stopping; try again")

// wait registers a waiter. tell is called once, when the saga is at rest or the coordinator stops,
// unless the waiter is removed before. See projection.Wait.
func wait(p *projection.Projection, id contract.SagaID, caller string, tell func(*Result)) (w *projection.Waiter, moving bool) {
	return p.Wait(id, caller, func(at *projection.Change) {
		if at == nil {
			tell(&Result{Err: errStopping})
			return
		}
		tell(at.State.(*Result)) //nolint:errcheck // every change of this coordinator has a Result
	})
}
