// Package definitionfile reads and writes saga definitions as files: JSON, and YAML for people.
//
//	checkout.yaml ─┐
//	refund.json   ─┼─▶ Load ──▶ []*saga.Definition
//	…             ─┘
//
// A file has the fields of saga.Spec. Reading is strict, so that a typo does not become a saga:
// unknown fields, duplicate fields and two files with the same definition are errors.
//
// The package does not register definitions or watch files. It reads regular files of at most
// saga.MaxDefinition bytes (I10).
//
// A failure is an error that names the file. It wraps a *saga.DefinitionError with all problems of
// the definition. Load reports the problems of all files at once.
package definitionfile
