//go:build linux && lab

package partition

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/lab/world"
)

// events is the stream that every saga needs to make progress.
const events = "SAGA_EVENTS"

// fault describes a fault of the network or of a server. make injects it and returns the function
// that repairs it.
type fault struct {
	name  string
	lasts time.Duration
	bound time.Duration // by how much the longest time in which no saga ends may exceed the fault's duration
	short bool          // part of the short form
	make  func(t *testing.T, c *cluster) (fix func())
}

// faults lists all faults. The bounds do not depend on a fault's duration: an election takes 4 to
// 9 s, and a client detects within a bounded time that its server is cut off.
var faults = []fault{
	{"the leader's server cut off from everybody", 35 * time.Second, bound, false, func(t *testing.T, c *cluster) func() {
		leader := c.awaitLeader(t)
		return c.with(t, c.cut(leader, everybodyBut(leader)...))
	}},
	{"the leader's server cut off from its peers", 20 * time.Second, bound, false, func(t *testing.T, c *cluster) func() {
		leader := c.awaitLeader(t)
		return c.with(t, c.cut(leader, others(leader)...))
	}},
	{"the coordinator's server cut off from its peers", 35 * time.Second, bound, false, func(t *testing.T, c *cluster) func() {
		at := c.awaitAttached(t, "amends-coordinator")
		return c.with(t, c.cut(at, others(at)...))
	}},
	{"the coordinator's server refused by its peers", 30 * time.Second, bound, true, func(t *testing.T, c *cluster) func() {
		at := c.awaitAttached(t, "amends-coordinator")
		return c.with(t, c.refuse(at, others(at)...))
	}},
	{"a participant's server cut off from its peers", 40 * time.Second, bound, false, func(t *testing.T, c *cluster) func() {
		at := c.awaitAttached(t, "clearing")
		return c.with(t, c.cut(at, others(at)...))
	}},
	{"a participant's server refused by its peers", 40 * time.Second, bound, false, func(t *testing.T, c *cluster) func() {
		at := c.awaitAttached(t, "clearing")
		return c.with(t, c.refuse(at, others(at)...))
	}},
	{"the coordinator's server cut off from everybody", 25 * time.Second, bound, false, func(t *testing.T, c *cluster) func() {
		at := c.awaitAttached(t, "amends-coordinator")
		return c.with(t, c.cut(at, everybodyBut(at)...))
	}},
	{"the leader is heard by nobody", 15 * time.Second, bound, false, func(t *testing.T, c *cluster) func() {
		leader := c.awaitLeader(t)
		return c.with(t, c.oneWay(leader, others(leader)...))
	}},
	{"the leader hears nobody", 15 * time.Second, bound, false, func(t *testing.T, c *cluster) func() {
		leader := c.awaitLeader(t)
		var r rules
		for _, node := range others(leader) {
			r = append(r, c.drop(node, leader))
		}
		return c.with(t, r)
	}},
	{"the coordinator is not heard", 6 * time.Second, 30 * time.Second, false, func(t *testing.T, c *cluster) func() {
		return c.with(t, c.oneWay("coordinator", nodes...))
	}},
	{"the bank hears nobody", 6 * time.Second, 30 * time.Second, false, func(t *testing.T, c *cluster) func() {
		var r rules
		for _, node := range nodes {
			r = append(r, c.drop(node, "bank"))
		}
		return c.with(t, r)
	}},
	{"30 % of all packets lost", 4 * time.Second, 20 * time.Second, true, func(t *testing.T, c *cluster) func() {
		return c.with(t, rules{"-m statistic --mode random --probability 0.3 -j DROP"})
	}},
	{"all links at 1 Mbit/s", 4 * time.Second, 10 * time.Second, true, func(t *testing.T, c *cluster) func() {
		c.slow(t, "1mbit")
		return func() { c.slow(t, "") }
	}},
	{"the leader's links flap", 6 * time.Second, bound, true, flap},
	{"a majority cut off", 8 * time.Second, 30 * time.Second, false, func(t *testing.T, c *cluster) func() {
		return c.with(t, append(c.cut(nodes[0], nodes[1:]...), c.cut(nodes[1], nodes[2])...))
	}},
	{"kill -9 of the leader", 9 * time.Second, bound, true, func(t *testing.T, c *cluster) func() {
		leader := c.awaitLeader(t)
		if err := c.nodes[leader].Kill(); err != nil {
			t.Fatal(err)
		}
		return func() { c.nodes[leader] = c.startNode(t, c.dir, slices.Index(nodes, leader)) }
	}},
}

// bound limits the gap while a majority of the servers is healthy.
const bound = 28 * time.Second

// deckOf returns the faults to inject.
func deckOf(t *testing.T) (deck []fault) {
	t.Helper()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	for range *rounds {
		for _, f := range faults {
			if (f.short || *long || *only != "") && pattern.MatchString(f.name) {
				deck = append(deck, f)
			}
		}
	}
	return deck
}

// with applies rules until fix is called.
func (c *cluster) with(t *testing.T, r rules) (fix func()) {
	t.Helper()
	c.apply(t, r)
	return func() { c.apply(t, nil) }
}

// refuse rejects packets between hosts with a TCP reset, so that both ends notice at once.
func (n *network) refuse(a string, others ...string) (r rules) {
	for _, b := range others {
		for _, pair := range [][2]string{{a, b}, {b, a}} {
			r = append(r, fmt.Sprintf("-s %s -d %s -p tcp -j REJECT --reject-with tcp-reset", n.hosts[pair[0]].ip, n.hosts[pair[1]].ip))
		}
	}
	return r
}

func (c *cluster) awaitLeader(t *testing.T) (leader string) {
	t.Helper()
	if err := world.Poll("the stream has a leader", func() bool { leader = c.leader(events); return leader != "" }); err != nil {
		t.Fatal(err)
	}
	return leader
}

func (c *cluster) awaitAttached(t *testing.T, name string) (node string) {
	t.Helper()
	if err := world.Poll(name+" is connected", func() bool { node = c.attached(name); return node != "" }); err != nil {
		t.Fatal(err)
	}
	return node
}

// flap repeatedly cuts and restores the leader's links.
func flap(t *testing.T, c *cluster) func() {
	leader := c.awaitLeader(t)
	down := c.cut(leader, everybodyBut(leader)...)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			for _, r := range []rules{down, nil} {
				c.apply(t, r)
				select {
				case <-stop:
					c.apply(t, nil)
					return
				case <-time.After(500 * time.Millisecond):
				}
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}
