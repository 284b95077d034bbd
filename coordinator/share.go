package coordinator

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/transport"
)

// admitStart says why a saga of a definition is not started for now; nil: it is. Limits that
// all sagas have in common are shared: a participant that does not answer, or does not
// get its commands, may take up as much as the others leave and no more, so that only
// sagas which need it are refused (I13).
func (s *service) admitStart(ref contract.DefinitionRef) error {
	open := s.c.projection.Open()
	if open >= s.c.config.MaxOpen {
		return s.tooMuch(LimitOpen, retryOpen, plural.Of(open, "saga is", "sagas are")+" open, as many as are allowed (MaxOpen); try again later")
	}
	needed := s.c.definitions.needed(ref)
	if to, over := s.c.relay.OverShare(needed, s.c.config.MaxBacklog); over {
		return s.tooMuch(LimitBacklog, retryBusy, fmt.Sprintf(
			"the bus is behind with the commands for %s, which take up their share of what may wait (MaxBacklog %d); try again in a moment", to, s.c.config.MaxBacklog))
	}
	for _, to := range needed {
		if pending := s.pendingFor(to); pending > 0 && pending >= s.c.config.MaxOpen-open {
			return s.tooMuch(LimitOpen, retryOpen, fmt.Sprintf(
				"%s for %s, as many as may (its share of MaxOpen %d): a saga of %s would wait behind; look why %s does not answer",
				plural.Of(pending, "saga waits", "sagas wait"), to, s.c.config.MaxOpen, ref.Name, to))
		}
	}
	return nil
}

// pendingFor is how many commands a participant has not answered.
func (s *service) pendingFor(to outbox.Destination) int {
	pending, more := s.c.relay.Pending(to)
	if counts := s.c.pending.Load(); more && counts != nil {
		pending = max(pending, (*counts)[to])
	}
	return pending
}

// needed are the participants that every saga of a definition asks for something on its
// way forward.
func (d *definitions) needed(ref contract.DefinitionRef) []outbox.Destination {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if ref.Version == 0 {
		ref.Version = d.newest[ref.Name]
	}
	return d.participants[ref]
}

// participantCount is how many participants the definitions need.
func (d *definitions) participantCount() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := map[outbox.Destination]bool{}
	for _, needed := range d.participants {
		for _, to := range needed {
			all[to] = true
		}
	}
	return len(all)
}

// correct tells the relay what the bus holds, so that the shares are right.
func correct(relay *outbox.Relay, before outbox.InFlight, load *transport.Load) {
	commands := load.Streams[transport.Commands]
	held := outbox.Held{Before: before, Limit: int64(commands.Limit), Used: int64(commands.Bytes), Messages: map[outbox.Destination]int{}}
	for participant, messages := range load.Commands {
		held.Messages[outbox.Destination(participant)] = int(messages)
	}
	relay.Correct(held)
}
