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

// Claimed is the outcome of a special inbox entry. The entry stores the newest claim under which
// the participant has received a command, and has no saga. This outcome is never sent.
const Claimed contract.Outcome = "claimed"

// claimFor is how long the cached claim is used without reading the inbox, in which another process
// of the participant may have stored a newer claim.
const claimFor = time.Second

// replaced is the error for a command from a replaced coordinator.
type replaced struct {
	owner  transport.Owner
	newest uint64
	note   string // describes what happens to the command
}

func (r *replaced) Error() string {
	return fmt.Sprintf("stale command: it was sent under claim %d of store %s, but this participant has seen claim %d; the sending coordinator was replaced and the command not executed%s",
		r.owner.Claim, r.owner.Store, r.newest, r.note)
}

// claims caches the newest claim in a participant's commands.
type claims struct {
	newest atomic.Uint64
	mu     sync.Mutex // held while reading the inbox
	looked time.Time
}

// check returns an error if the command's owner has been replaced.
func (c *claims) check(o transport.Owner) error {
	if newest := c.newest.Load(); o.Claim != 0 && o.Claim < newest {
		return &replaced{owner: o, newest: newest}
	}
	return nil
}

// admit stores the claim of a command in the inbox. It returns an error if the inbox contains a
// newer claim. Commands without a claim are admitted.
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
				return e, false, fmt.Errorf("the inbox entry of participant %s with an empty saga id must hold a claim, but holds %.40q; remove the entry", p.name, e.Do.Data)
			}
			newest = max(newest, known)
		}
		e.Do = Answer{Outcome: Claimed, Data: strconv.AppendUint(nil, newest, 10)}
		e.Updated = began.UTC().Truncate(time.Millisecond)
		return e, true, nil
	})
	if err != nil {
		return fmt.Errorf("store the claim: %w", err)
	}
	c.looked = began
	c.newest.Store(newest)
	return c.check(o)
}
