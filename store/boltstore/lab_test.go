//go:build lab

package boltstore_test

import "testing"

// TestManyKills is TestKill with more kills, each at a later time.
func TestManyKills(t *testing.T) { kills(t, 8) }

// TestManyBitFlips is TestBitFlips with more flips.
func TestManyBitFlips(t *testing.T) { bitFlips(t, 300) }
