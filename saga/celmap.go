package saga

import (
	"cmp"
	"fmt"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// sortedMap is a CEL map whose keys come in one order. CEL walks maps in the
// order of Go's maps, which is another one every time; Decide is to be the same
// every time (I6).
type sortedMap struct {
	traits.Mapper
	keys []ref.Val
	size uint32 // 0: not worked out yet
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

// sortMaps gives the maps that an expression builds one order, too.
func sortMaps(node interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if c, ok := node.(interpreter.InterpretableConstructor); ok && c.Type() == types.MapType {
		return sortingNode{node}, nil
	}
	return node, nil
}

type sortingNode struct{ interpreter.InterpretableV2 }

// Exec implements interpreter.InterpretableV2.
func (n sortingNode) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := n.InterpretableV2.Exec(frame)
	if m, ok := v.(traits.Mapper); ok {
		return sorted(m)
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (n sortingNode) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}
