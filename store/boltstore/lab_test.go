//go:build lab

package boltstore

import "testing"

// TestManyKills is TestKill with more kills, each at a later time.
func TestManyKills(t *testing.T) { kills(t, 20) }
