// Package saga is how a saga is defined: in Go (Define) or as data (New, ParseJSON), and what a
// definition is (Definition: checked, immutable data).
//
//	Define[Order]("checkout", …) ──▶ *Definition ──Plan──▶ *machine.Plan
//
// How a saga moves is package machine. The words that both ends of the bus know, such as kinds,
// directions and names, are those of package contract.
//
// It keeps its part of I10 (Limits).
//
// Failure looks like a *DefinitionError, which lists every problem of a definition with its path
// and a way to fix it.
package saga
