package membus

import (
	"container/heap"
	"time"

	"github.com/amends-dev/amends/transport"
)

// Defaults of transport.Subscription.
const (
	defaultAckWait     = 30 * time.Second
	defaultMaxInFlight = 4096
)

// consumer is the state of a subscription, including its unacknowledged messages. It is guarded by
// Bus.mu.
type consumer struct {
	stream       *stream
	subscription transport.Subscription
	items        map[uint64]*item // all unacknowledged messages, by sequence
	waiting      queue            // messages to deliver, by due time
	flying       queue            // messages in flight, by the end of AckWait
	changed      chan struct{}    // closed on the next change; nil if nobody waits
}

func newConsumer(s *stream, sub transport.Subscription) *consumer {
	c := &consumer{stream: s, items: map[uint64]*item{}}
	c.configure(sub)
	return c
}

func (c *consumer) configure(sub transport.Subscription) {
	if sub.AckWait <= 0 {
		sub.AckWait = defaultAckWait
	}
	if sub.MaxInFlight <= 0 {
		sub.MaxInFlight = defaultMaxInFlight
	}
	c.subscription = sub
}

func (c *consumer) wants(subject string) bool {
	for _, filter := range c.subscription.Subjects {
		if transport.Matches(filter, subject) {
			return true
		}
	}
	return len(c.subscription.Subjects) == 0
}

func (c *consumer) overlaps(other *consumer) bool {
	if len(c.subscription.Subjects) == 0 || len(other.subscription.Subjects) == 0 {
		return true
	}
	for _, a := range c.subscription.Subjects {
		for _, b := range other.subscription.Subjects {
			if transport.Overlap(a, b) {
				return true
			}
		}
	}
	return false
}

// offer queues a message if its subject matches the subscription.
func (c *consumer) offer(m *message) {
	if !c.wants(m.envelope.Subject) {
		return
	}
	it := &item{message: m, due: m.due, order: m.order}
	c.items[m.sequence] = it
	c.waiting.put(it)
	c.wake()
}

// drop removes a message that was acknowledged or has left the stream.
func (c *consumer) drop(sequence uint64) {
	it, ok := c.items[sequence]
	if !ok {
		return
	}
	delete(c.items, sequence)
	it.leave()
	it.delivery = nil
	c.wake()
}

// again queues a delivered item for redelivery.
func (c *consumer) again(it *item, due time.Time) {
	it.leave()
	it.delivery = nil
	it.due = due
	c.waiting.put(it)
	c.wake()
}

// expire queues items that were not acknowledged within AckWait, ahead of all waiting items.
func (c *consumer) expire(now time.Time) {
	for len(c.flying) > 0 && !c.flying[0].due.After(now) {
		c.again(c.flying[0], time.Time{})
	}
}

// next returns the item to deliver now, or nil if there is none.
func (c *consumer) next(now time.Time) *item {
	c.expire(now)
	if len(c.waiting) == 0 || len(c.flying) >= c.subscription.MaxInFlight || c.waiting[0].due.After(now) {
		return nil
	}
	return c.waiting[0]
}

// deliver marks an item as in flight.
func (c *consumer) deliver(it *item, d *delivery, now time.Time) {
	it.leave()
	it.delivered++
	it.delivery = d
	it.due = now.Add(c.subscription.AckWait)
	c.flying.put(it)
}

// acknowledge completes a message. In a work queue, the message is removed.
func (c *consumer) acknowledge(m *message) {
	if c.stream.name.WorkQueue() {
		c.stream.remove(m)
		return
	}
	c.drop(m.sequence)
}

// extend restarts AckWait for an item in flight.
func (c *consumer) extend(it *item, now time.Time) {
	it.due = now.Add(c.subscription.AckWait)
	heap.Fix(it.home, it.index)
	c.wake()
}

// nextDue returns the time at which the result of next may change.
func (c *consumer) nextDue() (due time.Time, ok bool) {
	if len(c.waiting) > 0 && len(c.flying) < c.subscription.MaxInFlight {
		due, ok = c.waiting[0].due, true
	}
	if len(c.flying) > 0 && (!ok || c.flying[0].due.Before(due)) {
		due, ok = c.flying[0].due, true
	}
	return due, ok
}

func (c *consumer) forget() {
	for _, it := range c.items {
		it.delivery = nil // its acknowledgements have no further effect
	}
	c.items, c.waiting, c.flying = map[uint64]*item{}, nil, nil
	c.wake()
}

// wake makes waiting sources check for messages again.
func (c *consumer) wake() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// watch returns a channel that the next call of wake closes.
func (c *consumer) watch() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// item is a message in one of a consumer's queues.
type item struct {
	message   *message
	due       time.Time // earliest time of delivery or redelivery
	order     int64
	delivered int       // number of deliveries
	back      bool      // whether it was returned since the last call of Newest
	delivery  *delivery // the current delivery; nil if the item is not in flight
	home      *queue
	index     int // index in home
}

func (it *item) leave() {
	if it.home != nil {
		heap.Remove(it.home, it.index)
		it.home = nil
	}
}

// queue is a heap of items, ordered by due time, then order.
type queue []*item

func (q *queue) put(it *item) {
	it.home = q
	heap.Push(q, it)
}

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].order < q[j].order
	}
	return q[i].due.Before(q[j].due)
}
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *queue) Push(x any) {
	it := x.(*item) //nolint:errcheck // only items are pushed
	it.index = len(*q)
	*q = append(*q, it)
}
func (q *queue) Pop() any {
	old := *q
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return it
}
