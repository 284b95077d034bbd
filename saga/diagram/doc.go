// Package diagram draws definitions: as a Mermaid flowchart for documents that render it, and as a
// self-contained SVG picture.
//
//	saga.Definition ──▶ Mermaid   text
//	                └─▶ SVG       a picture
//
// A definition is a series-parallel tree, so the layout is recursive: a sequence is drawn from top
// to bottom, and the branches of a parallel side by side. The same definition always produces the
// same bytes. The package does not draw the state of a saga; the user interfaces do.
//
// It cannot fail: every definition can be drawn.
package diagram
