package script

import (
	"fmt"
	"math/rand/v2"

	"github.com/amends-dev/amends/examples/order-checkout/checkout"
)

// Generate returns n shuffled orders: one of each kind, as far as n suffices, and the rest at
// random. The same seed gives the same orders with the same ids, so placing them again changes
// nothing.
func Generate(seed uint64, n int) []checkout.Order {
	rng := rand.New(rand.NewPCG(seed, 0))
	kinds := make([]Kind, 0, n)
	for i := range n {
		if i < len(Kinds) {
			kinds = append(kinds, Kinds[i])
			continue
		}
		kinds = append(kinds, draw(rng))
	}
	rng.Shuffle(n, func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	orders := make([]checkout.Order, n)
	for i, k := range kinds {
		orders[i] = k.order(fmt.Sprintf("order-%d-%03d", seed, i+1), rng)
	}
	return orders
}

// draw picks a random kind by weight.
func draw(rng *rand.Rand) Kind {
	total := 0
	for _, k := range Kinds {
		total += k.weight
	}
	at := rng.IntN(total)
	for _, k := range Kinds {
		if at -= k.weight; at < 0 {
			return k
		}
	}
	return Kinds[0]
}
