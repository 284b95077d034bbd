//go:build lab

package simulation

import "testing"

// TestManySagas runs ten times as many sagas as TestSagas.
func TestManySagas(t *testing.T) { faultless(t, 10*(*sagas)) }

// TestManyDigestsRepeat checks that the same seed gives the same history, independent of clocks,
// map order and goroutines.
func TestManyDigestsRepeat(t *testing.T) { repeats(t, 1000) }
