package tidy

import (
	"go/ast"
	"slices"
)

// entries lists the packages that parse input of participants, callers and operators.
var entries = []string{"contract", "transport", "outbox", "participant", "client", "internal/coordinator", "api", "internal/strictjson", "internal/httpapi", "internal/access"}

// looseNumbers lists functions that accept more than one spelling of a number.
var looseNumbers = map[string][]string{
	"strconv": {"Atoi", "ParseInt", "ParseUint"},
	"fmt":     {"Sscan", "Sscanf", "Sscanln", "Fscan", "Fscanf", "Fscanln"},
}

// ownNumbers lists files of those packages that are not checked, and why: the number comes from our
// own code or from the NATS server, or only one spelling of it is accepted.
var ownNumbers = map[string]string{
	"contract/birth.go": "a birth, which is compared with its spelling",
	"internal/coordinator/internal/projection/feed.go": "a position of its own, which is compared with its spelling",
	"internal/strictjson/strictjson.go":                "numbers in valid JSON, which have one spelling",
	"transport/natsbus/bus.go":                         "the server's version",
	"transport/natsbus/delivery.go":                    "the server's reply subject",
	"transport/natsbus/rings.go":                       "the server's Nats-Msg-Size",
	"transport/natsbus/internal/pull/status.go":        "the server's Nats-Pending-Messages",
	"transport/natsbus/internal/strict/conn.go":        "the server's protocol",
}

// Numbers reports code that accepts several spellings of a number on the wire.
func Numbers(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		entry := func(d string) bool { return under(f.Package(), []string{d}) }
		if f.Test || f.Generated || !slices.ContainsFunc(entries, entry) || ownNumbers[f.Path] != "" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := s.X.(*ast.Ident); ok && slices.Contains(looseNumbers[pkg.Name], s.Sel.Name) {
					found = append(found, Finding{t.Line(n.Pos()), "reads a number with " + pkg.Name + "." + s.Sel.Name + ", which takes +1 and 01 for 1",
						"use contract.ParseNumber; where the number is nobody else's, say whose in internal/tool/tidy/number.go"})
				}
			}
			return true
		})
	}
	return found
}
