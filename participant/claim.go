package participant

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Claimed is the outcome under which an inbox remembers, in the entry of a participant that
// has no saga, the newest claim on the prefix that a command came under. It is never sent.
const Claimed contract.Outcome = "claimed"

// claimFor is how long is relied on what was read of the newest claim: another process of the
// participant may have seen a newer one.
const claimFor = time.Second

// replaced is the error of a command that a coordinator sent which has been replaced.
type replaced struct {
	owner  transport.Owner
	newest uint64
	note   string // what becomes of it
}

func (r *replaced) Error() string {
	return fmt.Sprintf("stale command: it was sent under claim %d of store %s, and this participant has had one under claim %d; its coordinator was replaced, and nothing was done%s",
		r.owner.Claim, r.owner.Store, r.newest, r.note)
}

// claims is the newest claim that the commands of a participant came under.
type claims struct {
	newest atomic.Uint64
	mu     sync.Mutex // held while the inbox is asked
	looked time.Time
}

// check refuses a command of an owner that was replaced meanwhile.
func (c *claims) check(o transport.Owner) error {
	if newest := c.newest.Load(); o.Claim != 0 && o.Claim < newest {
		return &replaced{owner: o, newest: newest}
	}
	return nil
}

// admit makes sure that the inbox remembers the claim under which a command was sent, and
// refuses the command if it remembers a newer one. Commands that do not say it are admitted.
func (p *Participant[Tx]) admit(ctx context.Context, o transport.Owner) error {
	c := &p.claims
	if o.Claim == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if newest := c.newest.Load(); o.Claim < newest || o.Claim == newest && time.Since(c.looked) < claimFor {
		return c.check(o)
	}
	began := time.Now()
	newest := o.Claim
	err := p.inbox.Update(ctx, StepKey{Participant: p.name}, func(_ context.Context, _ Tx, e Entry) (Entry, bool, error) {
		newest = o.Claim
		if e.Do.Outcome == Claimed {
			known, ok := contract.ParseLong(string(e.Do.Data))
			if !ok {
				return e, false, fmt.Errorf("the inbox entry of participant %s without a saga holds %.40q, which is not a claim; remove it", p.name, e.Do.Data)
			}
			newest = max(newest, known)
		}
		e.Do = Answer{Outcome: Claimed, Data: strconv.AppendUint(nil, newest, 10)}
		e.Updated = began.UTC().Truncate(time.Millisecond)
		return e, true, nil
	})
	if err != nil {
		return fmt.Errorf("remember the claim: %w", err)
	}
	c.looked = began
	c.newest.Store(newest)
	return c.check(o)
}
