package sagapb

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/contract"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga"
)

// errNode: a node is a step, a parallel or a sequence.
var errNode = errors.New("a node is exactly one of step, parallel and sequence, and a parallel or sequence is not empty")

func nodeMessages(nodes []saga.Node) ([]*amendsv1.Node, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	list := make([]*amendsv1.Node, len(nodes))
	for i := range nodes {
		m, err := nodeMessage(&nodes[i])
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
		list[i] = m
	}
	return list, nil
}

func nodeMessage(n *saga.Node) (*amendsv1.Node, error) {
	switch {
	case n.Step != nil && len(n.Parallel) == 0 && len(n.Sequence) == 0:
		step, err := stepMessage(n.Step)
		return &amendsv1.Node{Node: &amendsv1.Node_Step{Step: step}}, err
	case n.Step == nil && len(n.Parallel) > 0 && len(n.Sequence) == 0:
		nodes, err := nodeMessages(n.Parallel)
		return &amendsv1.Node{Node: &amendsv1.Node_Parallel{Parallel: &amendsv1.Nodes{Nodes: nodes}}}, err
	case n.Step == nil && len(n.Parallel) == 0 && len(n.Sequence) > 0:
		nodes, err := nodeMessages(n.Sequence)
		return &amendsv1.Node{Node: &amendsv1.Node_Sequence{Sequence: &amendsv1.Nodes{Nodes: nodes}}}, err
	}
	return nil, errNode
}

func fromNodes(list []*amendsv1.Node) ([]saga.Node, error) {
	if len(list) == 0 {
		return nil, nil
	}
	nodes := make([]saga.Node, len(list))
	for i, m := range list {
		n, err := fromNode(m)
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
		nodes[i] = n
	}
	return nodes, nil
}

func fromNode(m *amendsv1.Node) (n saga.Node, err error) {
	switch m := m.Node.(type) {
	case *amendsv1.Node_Step:
		n.Step, err = fromStep(m.Step)
		return n, err
	case *amendsv1.Node_Parallel:
		n.Parallel, err = fromNodes(m.Parallel.Nodes)
	case *amendsv1.Node_Sequence:
		n.Sequence, err = fromNodes(m.Sequence.Nodes)
	}
	if err == nil && len(n.Parallel)+len(n.Sequence) == 0 {
		err = errNode
	}
	return n, err
}

func stepMessage(s *saga.Step) (*amendsv1.Step, error) {
	m := &amendsv1.Step{Name: string(s.Name), NothingToUndo: s.NothingToUndo}
	var errs [3]error
	m.Kind, errs[0] = kinds.Required(s.Kind)
	m.Do, errs[1] = actionMessage(&s.Do)
	m.Undo, errs[2] = actionMessage(s.Undo)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("step %.64q: %w", string(s.Name), err)
	}
	return m, nil
}

func fromStep(m *amendsv1.Step) (*saga.Step, error) {
	s := &saga.Step{Name: contract.StepName(m.Name), NothingToUndo: m.NothingToUndo}
	var errs [3]error
	s.Kind, errs[0] = kinds.RequiredWord(m.Kind)
	do, err := fromAction(m.Do)
	if errs[1] = err; do != nil {
		s.Do = *do
	}
	s.Undo, errs[2] = fromAction(m.Undo)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("step %.64q: %w", m.Name, err)
	}
	return s, nil
}

func actionMessage(a *saga.Action) (*amendsv1.Action, error) {
	if a == nil {
		return nil, nil
	}
	m := &amendsv1.Action{
		Participant: a.Participant,
		Action:      a.Action,
		With:        a.With,
		TimeoutNano: int64(a.Timeout),
		Retry:       retryMessage(a.Retry),
	}
	var errs [2]error
	m.Request, errs[0] = schemaMessage(a.Request)
	m.Result, errs[1] = schemaMessage(a.Result)
	return m, errors.Join(errs[:]...)
}

func fromAction(m *amendsv1.Action) (*saga.Action, error) {
	if m == nil {
		return nil, nil
	}
	a := &saga.Action{
		Participant: m.Participant,
		Action:      m.Action,
		With:        m.With,
		Timeout:     duration(m.TimeoutNano),
		Retry:       fromRetry(m.Retry),
	}
	var errs [2]error
	a.Request, errs[0] = fromSchema(m.Request)
	a.Result, errs[1] = fromSchema(m.Result)
	return a, errors.Join(errs[:]...)
}
