package audit

import (
	"fmt"
	"maps"
	"slices"
)

// violated records a violation.
func (l *Law) violated(format string, args ...any) {
	l.Violations = append(l.Violations, fmt.Sprintf(format, args...))
}

// each returns a law that checks every order with the given status; "" means every order.
func (r *Report) each(name, status string, check func(*Law, *Order)) Law {
	l := Law{Name: name}
	for i := range r.Orders {
		if status == "" || r.Orders[i].Status == status {
			l.Checked++
			check(&l, &r.Orders[i])
		}
	}
	return l
}

func (r *Report) ended() Law {
	return r.each("every order that was placed has ended", "", func(l *Law, o *Order) {
		switch o.Status {
		case "confirmed", "cancelled":
		case "":
			l.violated("%s was accepted, but the order service does not know it", o.ID)
		default:
			l.violated("%s is still %s", o.ID, o.Status)
		}
	})
}

func (r *Report) confirmed() Law {
	return r.each("confirmed orders are paid, packed and shipped once, as ordered", "confirmed", func(l *Law, o *Order) {
		if o.Taken-o.Returned != o.TotalCents {
			l.violated("%s costs %s, but %s was paid", o.ID, sum(o.TotalCents), sum(o.Taken-o.Returned))
		}
		if !maps.Equal(o.ordered, o.moved) || !maps.Equal(o.ordered, o.shipped) {
			l.violated("%s: ordered %v, taken from the shelf %v, shipped %v", o.ID, o.ordered, o.moved, o.shipped)
		}
		if !slices.Equal(o.Parcels, []string{o.tracking}) {
			l.violated("%s was confirmed with parcel %q, but the carrier has %q", o.ID, o.tracking, o.Parcels)
		}
		if !slices.Equal(o.receipts, []string{o.receipt}) {
			l.violated("%s was confirmed with receipt %q, but the money was taken with %q", o.ID, o.receipt, o.receipts)
		}
	})
}

func (r *Report) cancelled() Law {
	return r.each("cancelled orders cost nobody anything", "cancelled", func(l *Law, o *Order) {
		if o.Taken != o.Returned {
			l.violated("%s: %s was taken, %s was given back", o.ID, sum(o.Taken), sum(o.Returned))
		}
		for _, sku := range slices.Sorted(maps.Keys(o.moved)) {
			if o.moved[sku] != 0 {
				l.violated("%s: %d %s are missing on the shelf", o.ID, o.moved[sku], sku)
			}
		}
		if len(o.Parcels) > 0 {
			l.violated("%s: the carrier has %q", o.ID, o.Parcels)
		}
	})
}

func (r *Report) moneyKept() Law {
	l := Law{Name: "money: on every card, first day = now + taken - given back", Checked: len(r.Money)}
	for _, m := range r.Money {
		if m.Initial != m.Balance+m.Taken-m.Returned {
			l.violated("%s: %s on the first day, now %s, taken %s, given back %s", m.Card, sum(m.Initial), sum(m.Balance), sum(m.Taken), sum(m.Returned))
		}
	}
	return l
}

func (r *Report) stockKept() Law {
	l := Law{Name: "stock: of every product, first day = on hand + shipped + held for open orders", Checked: len(r.Stock)}
	for _, s := range r.Stock {
		if s.Initial != s.OnHand+s.Shipped+s.Held {
			l.violated("%s: %d on the first day, %d on hand, %d shipped, %d held", s.SKU, s.Initial, s.OnHand, s.Shipped, s.Held)
		}
	}
	return l
}

func (r *Report) reversed() Law {
	return r.each("undo ran in reverse: the money, then the stock, then the order", "cancelled", func(l *Law, o *Order) {
		last, lastAt := "", ""
		for _, service := range []string{"payment", "inventory", "order"} {
			at := o.at[service]
			if at == "" {
				continue
			}
			if at < lastAt {
				l.violated("%s: the %s service took back at %s, before the %s service at %s", o.ID, service, at, last, lastAt)
			}
			last, lastAt = service, at
		}
	})
}

func (r *Report) once() Law {
	l := Law{Name: "no idempotency key took effect twice"}
	for i := range r.Orders {
		o := &r.Orders[i]
		l.Checked += o.Keys
		for _, key := range slices.Sorted(maps.Keys(o.effects)) {
			if n := o.effects[key]; n > 1 {
				l.violated("%s took effect %d times", key, n)
			}
		}
	}
	return l
}
