//go:build lab

package simulation

import "testing"

// TestManySagas is TestSagas, ten times as long.
func TestManySagas(t *testing.T) { faultless(t, 10*(*sagas)) }

// TestManyDigestsRepeat: the same seed gives the same history, without a clock, a map's order
// or a goroutine having a say.
func TestManyDigestsRepeat(t *testing.T) { repeats(t, 1000) }
