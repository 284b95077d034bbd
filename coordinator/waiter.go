package coordinator

import (
	"errors"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator/internal/projection"
)

// MaxWaiters bounds the wait requests that are held at once, MaxWaitersPerCaller those of
// one caller (I10). Beyond them where the saga stands is answered at once, and the caller
// asks again.
const (
	MaxWaiters          = projection.MaxWaiters
	MaxWaitersPerCaller = projection.MaxWaitersPerCaller
)

// errStopping answers those who wait while the coordinator ends: without a word they would
// ask again, here or elsewhere, only when their own deadline passes.
var errStopping = errors.New("the coordinator is stopping; ask again")

// wait registers one who waits for a saga to come to rest: tell is called once, unless they are
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
