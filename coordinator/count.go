package coordinator

import (
	"cmp"
	"context"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// countPages bounds the pages that one count reads, when it has to (I10): it then
// says that there are at least so many.
const countPages = 100

// count is how many sagas a filter matches.
func (s *service) count(ctx context.Context, q *transport.Filter) (*transport.CountReply, error) {
	f, err := s.filter(q)
	if err != nil {
		return nil, err
	}
	counts, atLeast, err := s.countSagas(ctx, &f)
	if err != nil {
		return nil, err
	}
	reply := &transport.CountReply{Counts: counts, AtLeast: atLeast}
	for _, n := range counts {
		reply.Total += n.Sagas
	}
	return reply, nil
}

// countSagas counts what matches: from the store's own numbers if they tell, and
// else saga by saga.
func (s *service) countSagas(ctx context.Context, f *store.Filter) (counts []transport.Count, atLeast bool, err error) {
	if f.ByState() || f.IDPrefix != "" || len(f.IDs) > 0 || !f.StartedAfter.IsZero() || !f.StartedBefore.IsZero() {
		return s.countOneByOne(ctx, f, countPages)
	}
	all, err := s.c.config.Store.Counts(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, n := range all {
		if f.OpenOnly {
			n.Sagas, n.Ended = n.Sagas-n.Ended, 0
		}
		if n.Sagas > 0 && f.WantsDefinition(n.Definition) && (len(f.Phases) == 0 || slices.Contains(f.Phases, n.Phase)) {
			counts = append(counts, transport.Count(n))
		}
	}
	return counts, false, nil
}

func (s *service) countOneByOne(ctx context.Context, f *store.Filter, pages int) (counts []transport.Count, atLeast bool, err error) {
	type key struct {
		definition contract.DefinitionRef
		phase      contract.Phase
	}
	numbers := map[key]transport.Count{}
	page := store.Page{Limit: store.MaxPage}
	for range pages {
		found, next, err := s.c.config.Store.List(ctx, *f, page)
		if err != nil {
			return nil, false, err
		}
		for i := range found {
			k := key{found[i].Definition, found[i].Phase}
			n := numbers[k]
			n.Definition, n.Phase = k.definition, k.phase
			n.Sagas++
			if !found[i].Ended.IsZero() {
				n.Ended++
			}
			numbers[k] = n
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	for _, n := range numbers {
		counts = append(counts, n)
	}
	slices.SortFunc(counts, func(a, b transport.Count) int {
		return cmp.Or(cmp.Compare(a.Definition.Name, b.Definition.Name), cmp.Compare(a.Definition.Version, b.Definition.Version), cmp.Compare(a.Phase, b.Phase))
	})
	return counts, page.Cursor != "", nil
}
