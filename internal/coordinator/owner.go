package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
)

// releaseTime bounds how long a stopping coordinator tries to release its claim.
const releaseTime = 2 * time.Second

// errUnsure refuses to send while ownership of the prefix is unconfirmed.
var errUnsure = fmt.Errorf("ownership of the prefix is unconfirmed: %w", transport.ErrFenced)

// sender wraps the bus for the relay: it publishes only while this store owns the prefix.
type sender struct {
	Bus
	owner *ownership.Keeper
}

// Publish sends messages if this store owns the prefix, and adds the claim's number to them and to
// their deduplication ids. Without the number, the server could discard a message as a duplicate of
// an earlier owner's message, although participants that know the new claim may refuse the earlier
// message.
func (s sender) Publish(ctx context.Context, batch []transport.Envelope) []error {
	status := s.owner.Status()
	if !status.Confirmed {
		errs := make([]error, len(batch))
		for i := range errs {
			errs[i] = errUnsure
		}
		return errs
	}
	ours := make([]transport.Envelope, len(batch))
	owner := transport.Owner{Store: status.Claim.Store, Claim: status.Claim.Number}
	number := "." + strconv.FormatUint(owner.Claim, 36)
	for i := range batch {
		if ours[i] = batch[i]; ours[i].DedupID != "" {
			ours[i].DedupID += number
		}
		ours[i].Owner = owner
	}
	return s.Bus.Publish(ctx, ours)
}

// publisher returns the bus that the relay publishes to.
func (c *Coordinator) publisher() Bus {
	if c.config.Owner == nil {
		return c.config.Bus
	}
	return sender{c.config.Bus, c.config.Owner}
}

// consumer returns the name of the subscription to the answers. Every owner has a different name;
// the bus keeps the subscription of only one owner.
func (c *Coordinator) consumer() string {
	if c.config.Owner == nil {
		return c.config.Name
	}
	claim := c.config.Owner.Status().Claim
	return c.config.Name + "-" + claim.Store + "-" + strconv.FormatUint(claim.Number, 10)
}

// acquire waits until this store owns the prefix.
func (c *Coordinator) acquire(ctx context.Context) error {
	keeper := c.config.Owner
	if keeper == nil {
		return nil
	}
	said := ""
	for {
		again, err := keeper.Step(ctx)
		status := keeper.Status()
		switch {
		case err != nil:
			return fmt.Errorf("claim the prefix: %w", err)
		case status.Owner:
			c.config.Logger.InfoContext(ctx, "this store owns the prefix", "store", status.Claim.Store, "claim", status.Claim.Number, "taken_from", status.Claim.TakenFrom)
			return nil
		case status.Waiting != said:
			said = status.Waiting
			c.config.Logger.WarnContext(ctx, "this store does not own the prefix yet", LogReason, said, "store", status.Claim.Store, "claim", status.Claim.Number, "host", status.Claim.Host)
		}
		c.waits.Store(&said)
		if sleep(ctx, again) != nil {
			return ctx.Err()
		}
	}
}

// keepClaim renews the claim until ctx ends or another store takes it.
func (c *Coordinator) keepClaim(ctx context.Context, moved <-chan struct{}) error {
	confirmed := true
	for {
		timer := time.NewTimer(ownership.DefaultInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-moved:
			timer.Stop()
		}
		if _, err := c.config.Owner.Step(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		if now := c.config.Owner.Confirmed(); now != confirmed {
			confirmed = now
			if confirmed {
				c.config.Logger.InfoContext(ctx, "ownership of the prefix is confirmed again; sending and receiving continue")
				c.relay.Resend()
			} else {
				c.config.Logger.WarnContext(ctx, "ownership of the prefix is unconfirmed: starts are committed, but sending and receiving are paused until the bus confirms it", "since", c.config.Owner.Status().LastConfirmed.UTC())
			}
		}
	}
}

// awaitConfirmed blocks until this store's ownership is confirmed; no work is taken before that.
func (c *Coordinator) awaitConfirmed(ctx context.Context) error {
	for c.config.Owner != nil && !c.config.Owner.Confirmed() {
		if err := sleep(ctx, confirmedEvery); err != nil {
			return err
		}
	}
	return nil
}

// confirmedEvery is the interval at which awaitConfirmed checks ownership.
const confirmedEvery = 50 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noteCommitted passes the committed sagas to the keeper of the claim.
func (c *Coordinator) noteCommitted(out *Output) {
	if c.config.Owner == nil {
		return
	}
	for _, id := range out.Committed {
		c.config.Owner.RecordChange(string(id))
	}
}

// release gives up the claim, so that the next owner need not wait for it to expire.
func (c *Coordinator) release(ctx context.Context) {
	if c.config.Owner == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := c.config.Owner.Release(ctx); err != nil {
		c.config.Logger.WarnContext(ctx, "the claim on the prefix could not be released; the next owner waits until it expires", LogError, err)
	}
}

// Owner returns the status of the claim on the prefix, or nil if there are no claims.
func (c *Coordinator) Owner() *ownership.Status {
	if c.config.Owner == nil {
		return nil
	}
	s := c.config.Owner.Status()
	return &s
}

// owner returns the status of the claim for the overview.
func (c *Coordinator) owner() *api.Owner {
	s := c.Owner()
	if s == nil {
		return nil
	}
	return &api.Owner{
		Prefix: s.Claim.Prefix, Store: s.Claim.Store, Claim: s.Claim.Number, Host: s.Claim.Host, Address: s.Claim.Address, Since: s.Claim.Since,
		Ours: s.Owner, Confirmed: s.Confirmed, LastConfirmed: s.LastConfirmed.UTC(), Waiting: s.Waiting, Replaced: s.Replaced,
	}
}

// ownership reports a standstill while this store's ownership is unconfirmed.
func (m *monitor) ownership() []api.Standstill {
	status := m.c.Owner()
	if status == nil || status.Confirmed {
		return nil
	}
	return []api.Standstill{{
		Kind: api.StandstillOwner, Since: status.LastConfirmed, Stops: true, Reason: status.Waiting,
		Fix: "starts are accepted and stored, but nothing is sent or received; check that the bus can be reached, and that no other coordinator owns the prefix (coordinator doctor)",
	}}
}

// replaced reports whether err means that another store has taken over the prefix.
func replaced(err error) bool {
	var owned *ownership.NotOwnerError
	return errors.As(err, &owned) && owned.Replaced
}
