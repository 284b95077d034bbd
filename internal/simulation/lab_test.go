//go:build lab

package simulation

import "testing"

// TestManySagas is TestSagas, ten times as long.
func TestManySagas(t *testing.T) { faultless(t, 10*(*sagas)) }

// TestManyDigestsRepeat is TestDigestsRepeat, ten times as long.
func TestManyDigestsRepeat(t *testing.T) { repeats(t, 1000) }
