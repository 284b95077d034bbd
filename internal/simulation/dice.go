package simulation

import (
	"math/rand/v2"
	"time"
)

// dice are the one source of chance of a run.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 0x616d656e6473))} }

// chance always draws, so that a knob at zero leaves the stream in step.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// between is a number from lo to hi, both included.
func (d dice) between(lo, hi int) int { return lo + d.IntN(hi-lo+1) }

// span is a duration from lo to hi.
func (d dice) span(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.Int64N(int64(hi-lo)+1))
}

// pick is one of the elements.
func pick[T any](d dice, all []T) T { return all[d.IntN(len(all))] }
