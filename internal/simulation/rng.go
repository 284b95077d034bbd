package simulation

import (
	"math/rand/v2"
	"time"
)

// rng is a source of random numbers.
type rng struct{ *rand.Rand }

func newRNG(seed uint64) rng { return rng{rand.New(rand.NewPCG(seed, 0x616d656e6473))} }

// chance returns true with probability p. It draws a number even if p is zero, so that later draws
// stay the same.
func (d rng) chance(p float64) bool { return d.Float64() < p }

// between returns a random number from lo to hi, both included.
func (d rng) between(lo, hi int) int { return lo + d.IntN(hi-lo+1) }

// span returns a random duration from lo to hi.
func (d rng) span(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.Int64N(int64(hi-lo)+1))
}

// pick returns a random element.
func pick[T any](d rng, all []T) T { return all[d.IntN(len(all))] }
