// Package definitionfile reads and writes saga definitions as files: JSON, and
// YAML for people.
//
//	checkout.yaml ─┐
//	refund.json   ─┼─▶ Load ──▶ []*saga.Definition
//	…             ─┘
//
// The format is that of saga.Spec. Reading is strict: unknown fields, fields
// that are there twice and two files with the same definition are errors, so
// that a slip of the pen does not become a saga.
//
// It does not register anything and does not watch files. It reads regular files
// of at most saga.MaxDefinition bytes (I10).
//
// Failure looks like an error that names the file; inside it, wrapped, is a
// *saga.DefinitionError with every problem of that definition. Load reports the
// problems of all files at once.
package definitionfile
