//go:build linux && lab

package partition

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/amends-dev/amends/internal/lab/world"
)

// The hosts of the cluster's servers, and all other hosts.
var (
	nodes  = []string{"node1", "node2", "node3"}
	places = append([]string{"coordinator", "bank", "load"}, nodes...)
)

// playNode runs a server of the cluster until ctx ends.
func playNode(ctx context.Context, p part) error {
	addresses := strings.Split(p.URL, ",") // addresses of all nodes, without ports
	var routes []*url.URL
	for i, a := range addresses {
		if i != p.Node {
			routes = append(routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort(a, "6222")})
		}
	}
	s, err := server.NewServer(&server.Options{
		ServerName: nodes[p.Node], Host: addresses[p.Node], Port: 4222, HTTPHost: addresses[p.Node], HTTPPort: 8222,
		Cluster:   server.ClusterOpts{Name: "partition", Host: addresses[p.Node], Port: 6222},
		Routes:    routes,
		JetStream: true, StoreDir: filepath.Join(p.Dir, "jetstream"), SyncInterval: 200 * time.Millisecond,
		NoSigs: true,
	})
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(world.Limit) {
		return fmt.Errorf("not ready within %s", world.Limit)
	}
	if err := os.WriteFile(filepath.Join(p.Dir, "ready"), nil, 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// ask reads a monitoring page of a node from within the node's namespace, so that the rules of the
// hub do not affect it.
func (n *network) ask(node, page string, into any) error {
	h := n.hosts[node]
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return h.Dial(network, address)
	}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 5 * time.Second}
	response, err := client.Get("http://" + h.ip + ":8222/" + page)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}

// leader returns the node that leads a stream, or "" if there is none. It asks every node, because
// one that is cut off may not know.
func (n *network) leader(stream string) string {
	votes := map[string]int{}
	for _, node := range nodes {
		var answer server.JSInfo
		if n.ask(node, "jsz?streams=1", &answer) != nil {
			continue
		}
		for _, account := range answer.AccountDetails {
			for i := range account.Streams {
				if s := &account.Streams[i]; s.Name == stream && s.Cluster != nil && s.Cluster.Leader != "" {
					votes[s.Cluster.Leader]++
				}
			}
		}
	}
	for node, n := range votes {
		if n >= 2 {
			return node
		}
	}
	return ""
}

// attached returns the node to which the named connection is attached, or "" if there is none.
func (n *network) attached(name string) string {
	for _, node := range nodes {
		var answer server.Connz
		if n.ask(node, "connz", &answer) != nil {
			continue
		}
		for _, c := range answer.Conns {
			if c.Name == name && c.Stop == nil {
				return node
			}
		}
	}
	return ""
}

// others returns the nodes except the given ones.
func others(without ...string) (rest []string) {
	for _, node := range nodes {
		if !slices.Contains(without, node) {
			rest = append(rest, node)
		}
	}
	return rest
}

// everybodyBut returns all hosts except one.
func everybodyBut(host string) (rest []string) {
	for _, p := range places {
		if p != host {
			rest = append(rest, p)
		}
	}
	return rest
}

// urls returns the URLs of all nodes, starting with one of them.
func (n *network) urls(first int) string {
	list := make([]string, len(nodes))
	for i := range nodes {
		list[i] = "nats://" + n.hosts[nodes[(first+i)%len(nodes)]].ip + ":4222"
	}
	return strings.Join(list, ",")
}

// startNode starts a server of the cluster.
func (n *network) startNode(t *testing.T, dir string, i int) *process {
	t.Helper()
	var addresses []string
	for _, node := range nodes {
		addresses = append(addresses, n.hosts[node].ip)
	}
	own := filepath.Join(dir, nodes[i])
	return start(t, n.hosts[nodes[i]].namespace, nodes[i], own, part{Role: "node", Dir: own, Node: i, URL: strings.Join(addresses, ",")})
}
