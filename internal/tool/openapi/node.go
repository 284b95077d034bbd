package main

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is a YAML node. A mapping keeps the order of its keys.
type node yaml.Node

func mapping() *node { return &node{Kind: yaml.MappingNode} }

// put adds a key to a mapping, unless the value is an empty string.
func (n *node) put(key string, value *node) *node {
	if value.Kind == yaml.ScalarNode && value.Value == "" {
		return n
	}
	n.Content = append(n.Content, (*yaml.Node)(text(key)), (*yaml.Node)(value))
	return n
}

func text(s string) *node {
	n := &node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.Contains(s, "\n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}

func boolean(b bool) *node {
	value := "false"
	if b {
		value = "true"
	}
	return &node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: value}
}

func sequence(items ...*node) *node {
	n := &node{Kind: yaml.SequenceNode}
	for _, i := range items {
		n.Content = append(n.Content, (*yaml.Node)(i))
	}
	return n
}

// reference returns a reference to a schema.
func reference(name string) *node { return mapping().put("$ref", text("#/components/schemas/"+name)) }

// prose returns a comment as text, with its lines joined by spaces.
func prose[T ~string](comment T) string {
	var lines []string
	for line := range strings.Lines(string(comment)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.TrimSpace(strings.Join(lines, " "))
}

// lines returns a comment as text with its line breaks, for a comment that contains a table.
func lines(comment string) string {
	var out []string
	for line := range strings.Lines(comment) {
		out = append(out, strings.TrimRight(strings.TrimPrefix(line, " "), " \n"))
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}
