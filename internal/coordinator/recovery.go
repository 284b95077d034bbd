package coordinator

import (
	"context"
	"time"

	"github.com/amends-dev/amends/transport"
)

// returnTime is how long after a start participants have to connect again. NATS clients try again
// every 2 s by default.
const returnTime = 3 * time.Second

// recovery is the Tracker after a start on a bus that has lost its answers (Config.AnswersLost). An
// attempt that was answered in time must not time out because its answer was lost. So timers wait
// until the commands that were sent again are answered, or until none has been answered for
// quietFor. Then the tracker of the bus takes over.
type recovery struct {
	behind  transport.Tracker // of the bus; may be a *silence
	pending func() (more bool, answered time.Time)
	clock   func() time.Time
	began   time.Time
	over    bool
}

// Newest implements transport.Tracker.
func (r *recovery) Newest(ctx context.Context) (uint64, error) {
	if !r.over {
		return 1, nil
	}
	return r.behind.Newest(ctx)
}

// TakenIn implements transport.Tracker.
func (r *recovery) TakenIn(ctx context.Context, newest uint64) (bool, error) {
	if r.over {
		return r.behind.TakenIn(ctx, newest)
	}
	more, answered := r.pending()
	now := r.clock()
	r.over = !more || now.Sub(r.began) >= returnTime && now.Sub(answered) >= quietFor
	return r.over, nil
}

// giveUp implements waits.
func (r *recovery) giveUp() { r.over = true }
