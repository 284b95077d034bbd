package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/transport"
)

// bus checks for errors that the bus reports.
func (m *monitor) bus(ctx context.Context) ([]api.Standstill, error) {
	checker, ok := m.c.config.Bus.(transport.Checker)
	if !ok {
		return nil, nil
	}
	found := wrong(checker.Check(ctx))
	m.saidWrong.Store(len(found) > 0)
	return found, nil
}

// lies checks the load that the bus reports. It is a separate probe, so that a bus that is slow to
// report its load does not delay other findings.
func (m *monitor) lies(ctx context.Context) ([]api.Standstill, error) {
	if _, ok := m.c.config.Bus.(transport.Scale); !ok {
		return nil, nil
	}
	before := m.c.relay.InFlight()
	load, err := m.c.load(ctx)
	if err != nil {
		m.pace, m.gone = nil, time.Time{} // measure from the beginning
		// A single failure is ignored. If the bus has reported an error, that error is the cause.
		if m.untold++; m.untold > 1 && !m.saidWrong.Load() {
			return []api.Standstill{{
				Kind: api.StandstillBus, Object: "load", Reason: fmt.Sprintf("the bus does not report its load, so that consumers which receive nothing cannot be detected: %v", err),
				Fix: "check that the coordinator's user may read its streams and consumers, and how busy the NATS server is (coordinator doctor)",
			}}, nil
		}
		return nil, nil
	}
	m.untold = 0
	correct(m.c.relay, before, &load)
	return m.subscriptions(&load), nil
}

// wrong converts the errors that a bus reports to standstills: one for each stream, and one for
// everything else.
func wrong(err error) (found []api.Standstill) {
	var all []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	} else if err != nil {
		all = []error{err}
	}
	for _, err := range all {
		one := api.Standstill{
			Kind: api.StandstillBus, Reason: err.Error(),
			Fix: "check that the NATS server runs and can be reached, and that its streams are configured correctly (coordinator doctor)",
		}
		var of *transport.StreamError
		switch {
		case !errors.As(err, &of):
			one.Stops = true
		case of.Stream == transport.StreamLifecycle:
			one.Kind, one.Fix = api.StandstillLifecycle, "sagas continue; check the lifecycle stream: nats stream info, coordinator doctor"
		default:
			one.Object, one.Stops = string(of.Stream), of.Stream.WorkQueue()
		}
		found = append(found, one)
	}
	return found
}

// subscription identifies a consumer of a stream.
type subscription struct {
	stream transport.Stream
	name   string
}

// pace is the progress of a subscription at the last check.
type pace struct {
	last, floor uint64
	inFlight    int
	moved       time.Time // when it last made progress
	waits       time.Time // since when messages have been waiting for it; zero if none are
}

// step records the progress of a subscription. A subscription makes progress if a message was
// delivered or acknowledged since the last check, if none is waiting, or if it is paused.
func (p *pace) step(n *transport.ConsumerLoad, now time.Time) {
	if n.Pending == 0 || n.Paused || p.last != n.Last || p.floor != n.AckFloor || p.inFlight != n.RawInFlight {
		p.last, p.floor, p.inFlight, p.moved = n.Last, n.AckFloor, n.RawInFlight, now
	}
	switch {
	case n.Pending == 0 || n.Paused:
		p.waits = time.Time{}
	case p.waits.IsZero():
		p.waits = now
	}
}

// subscriptions checks whether the coordinator and the participants receive their messages.
func (m *monitor) subscriptions(load *transport.Load) (found []api.Standstill) {
	now, before := m.c.config.Clock(), m.pace
	m.pace = make(map[subscription]*pace, len(load.Consumers))
	for i := range load.Consumers {
		n := &load.Consumers[i]
		at := subscription{n.Stream, n.Name}
		p := before[at]
		if p == nil {
			p = &pace{moved: now}
		}
		p.step(n, now)
		m.pace[at] = p
		switch {
		case n.Stream == transport.StreamEvents && n.Name == m.c.consumer():
			found = append(found, m.answers(n, p, now)...)
		case n.Stream == transport.StreamCommands:
			found = append(found, participant(n, p, now)...)
		}
	}
	found = append(found, m.missing(load, now)...)
	if load.Streams[transport.StreamCommands].Cut {
		return found
	}
	for name, commands := range load.Commands {
		if m.pace[subscription{transport.StreamCommands, name}] == nil && commands > 0 {
			found = append(found, api.Standstill{
				Kind: api.StandstillParticipant, Object: name, Reason: plural.Of(commands, "command waits", "commands wait") + " for it, but it has never subscribed",
				Fix: "start the service; if it runs, check that the definition uses the same participant name, and read the service's log",
			})
		}
	}
	return found
}

// missing checks whether the coordinator's own consumer exists. After somebody has deleted it, the
// bus needs some time to create it again.
func (m *monitor) missing(load *transport.Load, now time.Time) []api.Standstill {
	switch {
	case m.pace[subscription{transport.StreamEvents, m.c.consumer()}] != nil || load.Streams[transport.StreamEvents].Cut:
		m.gone = time.Time{}
		return nil
	case m.gone.IsZero():
		m.gone = now
	}
	if now.Sub(m.gone) < standsAfter {
		return nil
	}
	return []api.Standstill{{
		Kind: api.StandstillAnswers, Since: m.gone, Stops: true, Reason: fmt.Sprintf("the coordinator's consumer %s is missing from the stream of events", m.c.consumer()),
		Fix: "check that the coordinator's user may create consumers, and find out who deletes them; a restart is safe",
	}}
}

// answers checks whether the coordinator receives answers.
func (m *monitor) answers(n *transport.ConsumerLoad, p *pace, now time.Time) []api.Standstill {
	one := api.Standstill{Kind: api.StandstillAnswers, Stops: true}
	if n.Paused {
		one.Reason = fmt.Sprintf("the coordinator's consumer is paused (%s); %s", n.Name, plural.Of(n.Pending, "answer waits", "answers wait"))
		one.Fix = "nats consumer resume " + n.StreamName + " " + n.Name
		return []api.Standstill{one}
	}
	// Read in this order: a delivered answer is counted as received before handing is reset.
	handing, received := m.c.handing.Load() != 0, time.Unix(0, m.c.received.Load())
	one.Since = p.waits
	if received.After(one.Since) {
		one.Since = received
	}
	quiet := now.Sub(one.Since)
	switch {
	// Report nothing yet: answers that were unacknowledged at a crash are redelivered only after
	// answerWait. And report nothing while an answer waits for its shard, because the probe of the
	// shard reports that.
	case n.Pending == 0 || handing || quiet < answerWait+standsAfter:
		return nil
	case n.MaxInFlight > 0 && n.RawInFlight >= n.MaxInFlight:
		one.Reason = fmt.Sprintf("the consumer %s has reached its limit of unacknowledged deliveries (%d), and none of them is being acknowledged; %s", n.Name, n.MaxInFlight, plural.Of(n.Pending, "answer waits", "answers wait"))
		one.Fix = "check whether another process uses the same consumer, and read the dead letters; a restart is safe"
	default:
		one.Reason = fmt.Sprintf("%s, but the consumer %s has delivered none for %s", plural.Of(n.Pending, "answer waits", "answers wait"), n.Name, quiet.Round(time.Second))
		one.Fix = "check the consumer (nats consumer info " + n.StreamName + " " + n.Name + ") and the NATS server; a restart is safe"
	}
	return []api.Standstill{one}
}

// participant checks whether a participant receives its commands. It does not matter whether a pull
// request is open at this moment: a busy participant gets commands at once and has no request open,
// and a participant that no longer receives commands has a request open.
func participant(n *transport.ConsumerLoad, p *pace, now time.Time) []api.Standstill {
	one := api.Standstill{Kind: api.StandstillParticipant, Object: n.Name}
	waiting, stood := n.Pending+uint64(n.InFlight), now.Sub(p.moved)
	switch {
	case n.Paused && waiting > 0:
		one.Reason, one.Fix = "its consumer is paused; "+plural.Of(waiting, "command waits", "commands wait"), "nats consumer resume "+n.StreamName+" "+n.Name
		return []api.Standstill{one}
	case n.Pending == 0 || stood < standsAfter:
		return nil
	case n.MaxInFlight > 0 && n.RawInFlight >= n.MaxInFlight:
		one.Reason = fmt.Sprintf("it has %s in flight, which is its limit, and has acknowledged none for %s; %s", plural.Of(n.InFlight, "command", "commands"), stood.Round(time.Second), plural.Of(n.Pending, "more waits", "more wait"))
		one.Fix = "check the service's log and its database; a participant of your own must acknowledge each command that it has answered"
	case n.Asking == 0:
		one.Reason = fmt.Sprintf("%s for it, but no client has requested any for %s; delivered before and unacknowledged: %d", plural.Of(n.Pending, "command waits", "commands wait"), stood.Round(time.Second), n.InFlight)
		one.Fix = "start the service; if it runs, its log shows why it does not reach the bus, or what keeps it busy"
	default:
		one.Reason = fmt.Sprintf("%s for it and it requests more, but the bus has delivered none for %s", plural.Of(n.Pending, "command waits", "commands wait"), stood.Round(time.Second))
		one.Fix = "check its consumer (nats consumer info " + n.StreamName + " " + n.Name + ") and the NATS server"
	}
	one.Since = p.moved
	return []api.Standstill{one}
}
