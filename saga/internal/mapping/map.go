package mapping

import (
	"cmp"
	"fmt"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// sortedMap is a CEL map with a deterministic order of keys. CEL iterates in the order of Go maps,
// which is random, but Decide must be deterministic (I6).
type sortedMap struct {
	traits.Mapper
	keys  []ref.Val
	size  uint32  // 0 if not computed yet
	plain ref.Val // the map with plain values; nil if not computed yet
}

func newSortedMap(values map[ref.Val]ref.Val) *sortedMap {
	return sorted(types.NewRefValMap(types.DefaultTypeAdapter, values))
}

func sorted(m traits.Mapper) *sortedMap {
	s := &sortedMap{Mapper: m}
	for it := m.Iterator(); it.HasNext() == types.True; {
		s.keys = append(s.keys, it.Next())
	}
	slices.SortFunc(s.keys, func(a, b ref.Val) int {
		if by := cmp.Compare(a.Type().TypeName(), b.Type().TypeName()); by != 0 {
			return by
		}
		if c, ok := a.(traits.Comparer); ok {
			if by, ok := c.Compare(b).(types.Int); ok {
				return int(by)
			}
		}
		return cmp.Compare(fmt.Sprint(a.Value()), fmt.Sprint(b.Value()))
	})
	return s
}

// Iterator implements traits.Iterable.
func (m *sortedMap) Iterator() traits.Iterator {
	return types.NewRefValList(types.DefaultTypeAdapter, m.keys).Iterator()
}

// AggregateSize implements types.AggregateSizeVisitor.
func (m *sortedMap) AggregateSize(sizer types.AggregateSizer) uint32 {
	if m.size == 0 {
		m.size = sizer.AggregateSize(m.Mapper)
	}
	return m.size
}
