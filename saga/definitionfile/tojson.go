package definitionfile

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// yamlToJSON converts a YAML document to JSON. It leaves all problems of the content, such as
// duplicate keys, to saga.ParseJSON. It writes each value in the line that the value has in the
// YAML and, if there is space, in the same column, so that the positions in errors of ParseJSON are
// positions in the file.
//
// Aliases are refused: a definition is more readable without them, and a few lines of aliases can
// expand to gigabytes.
func yamlToJSON(document *yaml.Node) ([]byte, error) {
	w := jsonText{line: 1}
	for _, n := range document.Content { // a document contains one value
		if err := w.value(n); err != nil {
			return nil, err
		}
	}
	return w.Bytes(), nil
}

type jsonText struct {
	bytes.Buffer
	line      int // current line of the output
	lineStart int // offset of that line
}

// goTo writes white space up to the position of a node.
func (w *jsonText) goTo(n *yaml.Node) {
	for ; w.line < n.Line; w.line++ {
		w.WriteByte('\n')
		w.lineStart = w.Len()
	}
	if w.line == n.Line {
		for w.Len()-w.lineStart < n.Column-1 {
			w.WriteByte(' ')
		}
	}
}

func (w *jsonText) value(n *yaml.Node) error {
	w.goTo(n)
	switch n.Kind {
	case yaml.MappingNode:
		return w.mapping(n)
	case yaml.SequenceNode:
		w.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				w.WriteByte(',')
			}
			if err := w.value(item); err != nil {
				return err
			}
		}
		w.WriteByte(']')
		return nil
	case yaml.ScalarNode:
		return w.scalar(n)
	}
	return fmt.Errorf("line %d, column %d: an alias (*%s) is not allowed; write it out", n.Line, n.Column, n.Value)
}

func (w *jsonText) mapping(n *yaml.Node) error {
	w.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if i > 0 {
			w.WriteByte(',')
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			return fmt.Errorf("line %d, column %d: a key must be a string, not a list, map, alias or merge (<<)", key.Line, key.Column)
		}
		w.goTo(key)
		if err := w.text(key.Value); err != nil { // as a string, whatever its YAML type: y and 1 are strings
			return err
		}
		w.WriteByte(':')
		if err := w.value(n.Content[i+1]); err != nil {
			return err
		}
	}
	w.WriteByte('}')
	return nil
}

func (w *jsonText) scalar(n *yaml.Node) error {
	var v any
	switch n.ShortTag() {
	case "!!int", "!!float", "!!bool", "!!null":
		if err := n.Decode(&v); err != nil {
			return fmt.Errorf("line %d, column %d: %w", n.Line, n.Column, err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("line %d, column %d: %s cannot be represented in JSON; write another value", n.Line, n.Column, n.Value)
		}
		w.Write(text)
		return nil
	}
	return w.text(n.Value)
}

func (w *jsonText) text(s string) error {
	text, err := json.Marshal(s)
	w.Write(text)
	return err
}
