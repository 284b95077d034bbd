//go:build linux && lab

package partition

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amends-dev/amends/internal/lab/world"
)

// namespace is a network namespace. It has no name, so it disappears when its last process and file
// descriptor do, and needs no clean-up.
type namespace struct{ file *os.File }

// network is a hub with hosts around it. The hub routes packets between the hosts.
type network struct {
	hub   *namespace
	hosts map[string]*host
}

type host struct {
	*namespace
	link string // the hub's end of the link
	ip   string
}

// newNetwork makes a hub and hosts.
func newNetwork(t *testing.T, names ...string) *network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces are made by root")
	}
	for _, tool := range []string{"ip", "iptables", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed (Debian: iproute2, iptables)", tool)
		}
	}
	hub, err := newNamespace(t)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("network namespaces are not to be had here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	n := &network{hub: hub, hosts: map[string]*host{}}
	script := "ip link set lo up; echo 1 >/proc/sys/net/ipv4/ip_forward; iptables -P FORWARD ACCEPT"
	for i, name := range names {
		in, err := newNamespace(t)
		if err != nil {
			t.Fatal(err)
		}
		h := &host{in, fmt.Sprintf("to-%s", name), fmt.Sprintf("10.77.%d.2", i+1)}
		n.hosts[name] = h
		script += fmt.Sprintf("; ip link add %s type veth peer name eth0 netns /proc/%d/fd/%d; ip addr add 10.77.%d.1/24 dev %s; ip link set %s up",
			h.link, os.Getpid(), in.file.Fd(), i+1, h.link, h.link)
	}
	n.run(t, hub, script)
	for i, name := range names {
		n.run(t, n.hosts[name].namespace, fmt.Sprintf(
			"ip link set lo up; ip addr add %s/24 dev eth0; ip link set eth0 up; ip route add default via 10.77.%d.1", n.hosts[name].ip, i+1))
	}
	return n
}

func newNamespace(t *testing.T) (*namespace, error) {
	n := &namespace{}
	err := world.OnSpawner(func() error {
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer home.Close()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return errors.Join(err, unix.Setns(int(home.Fd()), unix.CLONE_NEWNET))
	})
	if err == nil {
		t.Cleanup(func() { _ = n.file.Close() })
	}
	return n, err
}

// do calls f in the namespace, on the spawner's thread. If n is nil it uses the test's own
// namespace.
func (n *namespace) do(f func() error) error {
	if n == nil {
		return world.OnSpawner(f)
	}
	return world.OnSpawner(func() error {
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer home.Close()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the namespace: %w", err)
		}
		return errors.Join(f(), unix.Setns(int(home.Fd()), unix.CLONE_NEWNET))
	})
}

// run runs a script in a namespace.
func (n *network) run(t *testing.T, in *namespace, script string) {
	t.Helper()
	if err := in.do(func() error {
		out, err := exec.Command("sh", "-ec", script).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}

// Dial connects from the host's namespace. It implements the custom dialer of nats.go.
func (h *host) Dial(network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
		if err := unix.Setns(int(h.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{err: err}
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// rules holds what the hub does to packets: the arguments of iptables after the chain.
type rules []string

// drop returns the rule that drops packets from one host to another.
func (n *network) drop(from, to string) string {
	return fmt.Sprintf("-s %s -d %s -j DROP", n.hosts[from].ip, n.hosts[to].ip)
}

// cut returns the rules that drop packets between hosts in both directions.
func (n *network) cut(a string, others ...string) (r rules) {
	for _, b := range others {
		r = append(r, n.drop(a, b), n.drop(b, a))
	}
	return r
}

// oneWay returns the rules that drop packets from one host to others.
func (n *network) oneWay(from string, to ...string) (r rules) {
	for _, b := range to {
		r = append(r, n.drop(from, b))
	}
	return r
}

// apply replaces the rules in force atomically.
func (n *network) apply(t *testing.T, r rules) {
	t.Helper()
	var b strings.Builder
	b.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n")
	for _, rule := range r {
		b.WriteString("-A FORWARD " + rule + "\n")
	}
	n.run(t, n.hub, "iptables-restore <<'END'\n"+b.String()+"COMMIT\nEND\n")
}

// dropped counts the packets that the rules have dropped.
func (n *network) dropped(t *testing.T) (packets int) {
	t.Helper()
	err := n.hub.do(func() error {
		out, err := exec.Command("iptables", "-nvxL", "FORWARD").Output()
		for line := range strings.Lines(string(out)) {
			var count int
			var target string
			if _, err := fmt.Sscanf(line, "%d %d %s", &count, new(int), &target); err == nil && (target == "DROP" || target == "REJECT") {
				packets += count
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

// slow limits the rate of every link of the hub, in both directions. An empty rate removes the
// limit.
func (n *network) slow(t *testing.T, rate string) {
	t.Helper()
	script := "true"
	for _, h := range n.hosts {
		if rate == "" {
			script += fmt.Sprintf("; tc qdisc del dev %s root", h.link)
		} else {
			script += fmt.Sprintf("; tc qdisc add dev %s root tbf rate %s burst 16kb latency 200ms", h.link, rate)
		}
	}
	n.run(t, n.hub, script)
}
