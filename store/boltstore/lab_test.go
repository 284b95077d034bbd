//go:build lab

package boltstore_test

import "testing"

// TestManyKills is TestKill with more kills, each later than the one before.
func TestManyKills(t *testing.T) { kills(t, 8) }

// TestManyBitFlips is TestBitFlips with more of them.
func TestManyBitFlips(t *testing.T) { bitFlips(t, 300) }
