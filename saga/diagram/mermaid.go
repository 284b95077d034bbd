package diagram

import (
	"fmt"
	"strings"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

// Mermaid returns the definition as a Mermaid flowchart. A step is labelled with its name, its
// participant and action, and its undo.
func Mermaid(d *saga.Definition) string {
	spec := d.Spec()
	m := mermaid{}
	m.line("flowchart TD")
	m.line("start([%s])", d.Ref())
	ends := m.sequence(spec.Steps, []string{"start"})
	m.line("done([completed])")
	m.join(ends, "done")
	m.line("classDef compensable fill:#e8f0fe,stroke:#3b6fb6,color:#10243e")
	m.line("classDef pivot fill:#fff3d6,stroke:#b7791f,stroke-width:3px,color:#3d2a06")
	m.line("classDef retriable fill:#e6f6ec,stroke:#2f855a,color:#0c2e1c")
	return m.text.String()
}

// mermaid builds a flowchart.
type mermaid struct {
	text  strings.Builder
	steps int // number of steps so far, in the order of the definition
	forks int
}

func (m *mermaid) line(format string, args ...any) {
	if m.text.Len() > 0 {
		m.text.WriteString("    ")
	}
	fmt.Fprintf(&m.text, format, args...)
	m.text.WriteByte('\n')
}

// join draws arrows from several nodes to one.
func (m *mermaid) join(from []string, to string) {
	for _, f := range from {
		m.line("%s --> %s", f, to)
	}
}

// sequence draws nodes one after the other, following the nodes whose ids are in from. It returns
// the ids of the last nodes.
func (m *mermaid) sequence(nodes []saga.Node, from []string) []string {
	for i := range nodes {
		from = m.node(&nodes[i], from)
	}
	return from
}

func (m *mermaid) node(n *saga.Node, from []string) []string {
	switch {
	case n.Step != nil:
		id := fmt.Sprintf("s%d", m.steps)
		m.steps++
		m.line(`%s["%s"]:::%s`, id, label(n.Step), n.Step.Kind)
		m.join(from, id)
		return []string{id}
	case n.Parallel != nil:
		if len(from) > 1 { // a fork between two adjacent parallels prevents crossing arrows
			m.forks++
			fork := fmt.Sprintf("f%d", m.forks)
			m.line("%s{{and}}", fork)
			m.join(from, fork)
			from = []string{fork}
		}
		var ends []string
		for i := range n.Parallel {
			ends = append(ends, m.node(&n.Parallel[i], from)...)
		}
		return ends
	}
	return m.sequence(n.Sequence, from)
}

// label returns the text in a step's box. Names consist of letters, digits and hyphens, so nothing
// is escaped.
func label(s *saga.Step) string {
	lines := []string{fmt.Sprintf("<b>%s</b>", s.Name), fmt.Sprintf("%s: %s", s.Do.Participant, s.Do.Action)}
	if s.Kind != contract.KindCompensable {
		lines[0] += " (" + string(s.Kind) + ")"
	}
	if s.Undo != nil {
		lines = append(lines, "undo: "+s.Undo.Action)
	}
	return strings.Join(lines, "<br/>")
}
