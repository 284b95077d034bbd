package mapping

import (
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// textsOf are the arguments of a call that takes two strings; otherwise what it gives.
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

// searcher looks for a string in another one, in time linear in both. The one of package
// strings compares sums first, and data can be made of which all sums are equal.
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

// shortPart is how long a string is at most for which strings.Contains is linear enough.
const shortPart = 32

// contains reports whether part is in text (Knuth, Morris, Pratt).
func contains(text, part string) bool {
	if len(part) <= shortPart || len(part) >= len(text) {
		return strings.Contains(text, part)
	}
	border := make([]int32, len(part)) // of part up to here: the longest beginning that is an end, too
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
