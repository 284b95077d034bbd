package mapping

import (
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// textsOf returns the arguments of a call if both are strings. Otherwise, it returns an error as
// the result of the call.
func textsOf(n interpreter.InterpretableCall, frame *interpreter.ExecutionFrame) (texts [2]types.String, otherwise ref.Val) {
	for i, arg := range n.Args() {
		v := arg.Exec(frame)
		if types.IsUnknownOrError(v) {
			return texts, v
		}
		text, ok := v.(types.String)
		if !ok {
			return texts, types.LabelErrNode(n.ID(), types.MaybeNoSuchOverloadErr(v))
		}
		texts[i] = text
	}
	return texts, nil
}

// searcher searches for a string in another string in linear time. Package strings compares rolling
// hashes first, and is slower if data is constructed so that all hashes are equal.
type searcher struct{ interpreter.InterpretableCall }

// Exec implements interpreter.InterpretableV2.
func (n searcher) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	texts, otherwise := textsOf(n, frame)
	if otherwise != nil {
		return otherwise
	}
	pay(frame, n.ID(), 1+int(textSize(texts[0])+textSize(texts[1])))
	return types.Bool(contains(string(texts[0]), string(texts[1])))
}

// Eval implements interpreter.Interpretable.
func (n searcher) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// shortPart is the maximum length of part, in bytes, for which strings.Contains is close enough to
// linear.
const shortPart = 32

// contains reports whether part is in text (Knuth, Morris, Pratt).
func contains(text, part string) bool {
	if len(part) <= shortPart || len(part) >= len(text) {
		return strings.Contains(text, part)
	}
	// border holds, for each prefix of part, the length of its longest proper prefix that is also its
	// suffix.
	border := make([]int32, len(part))
	for i, k := 1, 0; i < len(part); i++ {
		for k > 0 && part[i] != part[k] {
			k = int(border[k-1])
		}
		if part[i] == part[k] {
			k++
		}
		border[i] = int32(k)
	}
	for i, k := 0, 0; i < len(text); i++ {
		for k > 0 && text[i] != part[k] {
			k = int(border[k-1])
		}
		if text[i] == part[k] {
			k++
		}
		if k == len(part) {
			return true
		}
	}
	return false
}
