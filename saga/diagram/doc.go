// Package diagram draws definitions: as a Mermaid flowchart, for documents that
// render it, and as an SVG picture that needs nothing else.
//
//	saga.Definition ──▶ Mermaid   text
//	                └─▶ SVG       a picture
//
// A definition is nested series-parallel, so its layout is a recursion: a sequence
// stands from top to bottom, the branches of a parallel side by side. The same
// definition gives the same bytes. It draws definitions, not where a saga stands:
// that changes, and is the business of the faces.
//
// There is no failure: a definition that exists can be drawn.
package diagram
