package definitionfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/amends-dev/amends/saga"
)

// ParseYAML parses a definition in YAML. The fields are the same as in JSON, and parsing is equally
// strict. There must be one document without aliases. All keys are strings, and yes, no, y, n, on
// and off are strings too (as in YAML 1.2).
func ParseYAML(data []byte) (*saga.Definition, error) {
	if len(data) > saga.MaxDefinition {
		return nil, fmt.Errorf("definition: %d bytes; at most %d are allowed", len(data), saga.MaxDefinition)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("definition: the file is empty")
	case err != nil:
		return nil, fmt.Errorf("definition: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("definition: there is a second document after ---; put it into a file of its own")
	}
	text, err := yamlToJSON(&document)
	if err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	return saga.ParseJSON(text)
}

// YAML encodes a definition for people: with its fields in order, and multi-line expressions with
// their line breaks.
func YAML(d *saga.Definition) ([]byte, error) {
	canonical, err := d.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var document yaml.Node // JSON is YAML
	if err := yaml.Unmarshal(canonical, &document); err != nil {
		return nil, fmt.Errorf("write definition %s as YAML: %w", d.Ref(), err)
	}
	plain(&document)
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&document), encoder.Close()); err != nil {
		return nil, fmt.Errorf("write definition %s as YAML: %w", d.Ref(), err)
	}
	return b.Bytes(), nil
}

// plain removes the braces and quotes of JSON. Quotes that YAML requires are still written.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	for _, child := range n.Content {
		plain(child)
	}
}

// JSON encodes a definition as indented JSON.
func JSON(d *saga.Definition) ([]byte, error) {
	canonical, err := d.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, canonical, "", "  "); err != nil {
		return nil, fmt.Errorf("write definition %s as JSON: %w", d.Ref(), err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
