//go:build !linux

package partition

import "testing"

func TestCluster(t *testing.T) {
	t.Skip("namespaces, cgroups and loop devices are Linux's")
}
