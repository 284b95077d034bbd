//go:build lab

package main

import (
	"strconv"
	"testing"
)

// TestDemoOfSeeds is TestDemo with different sequences of orders.
func TestDemoOfSeeds(t *testing.T) {
	for _, seed := range []int{1, 2} {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			plays(t, seed)
		})
	}
}
