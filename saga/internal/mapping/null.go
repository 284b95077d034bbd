package mapping

import (
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// qualifier is a selection or an index. For has() and ?, every null value counts as missing, and a
// selection from null is a fault.
type qualifier struct {
	interpreter.Qualifier

	test bool // whether the selection is the argument of has()
}

// Qualify implements interpreter.Qualifier.
func (q qualifier) Qualify(vars interpreter.Activation, obj any) (any, error) {
	if !q.test {
		return q.Qualifier.Qualify(vars, obj)
	}
	_, there, err := q.QualifyIfPresent(vars, obj, true)
	return there, err
}

// QualifyIfPresent implements interpreter.Qualifier.
func (q qualifier) QualifyIfPresent(vars interpreter.Activation, obj any, presenceOnly bool) (any, bool, error) {
	if obj == any(types.NullValue) {
		return nil, false, &dataFault{fault: faultKey}
	}
	v, there, err := q.Qualifier.QualifyIfPresent(vars, obj, presenceOnly)
	if v == any(types.NullValue) {
		return nil, false, err
	}
	return v, there, err
}
