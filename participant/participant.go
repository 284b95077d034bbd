package participant

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Participant answers the commands of one service. Tx is the transaction its
// handlers write in. Make one with New, give it handlers with Handle and
// HandleUndo, then Run it, or call Answer from a carrier of your own.
type Participant[Tx any] struct {
	name     string
	source   string // of its answers
	address  string // of its commands, without the action
	inbox    Inbox[Tx]
	options  options
	handlers map[string]handler[Tx] // by action; not changed once commands come
	problems []error
	unknown  notices // of actions that have no handler here
	claims   claims
}

// handler is a registered function with its types erased.
type handler[Tx any] struct {
	direction  contract.Direction
	unrecorded bool           // an undo that is called even when no do is recorded
	stranger   *unknownAction // it stands in for a handler that another process may have; nil: it is one
	// serve decodes, calls and encodes. The answer is completed; everything else
	// is an error.
	serve func(ctx context.Context, tx Tx, in input) (Answer, error)
	// contentType is that of a completed answer's data.
	contentType string
}

// New makes a participant. The name is the one that commands are addressed to;
// a name that is not allowed is reported by Run, Answer and Check.
func New[Tx any](name string, inbox Inbox[Tx], opts ...Option) *Participant[Tx] {
	p := &Participant[Tx]{
		name:     name,
		source:   "/amends/participant/" + name,
		inbox:    inbox,
		options:  defaults(),
		handlers: make(map[string]handler[Tx]),
	}
	for _, opt := range opts {
		opt(&p.options)
	}
	p.address = p.options.subjects.Command(name, "")
	p.problem(contract.CheckName("participant", name))
	p.problem(transport.CheckPrefix(p.options.subjects.Prefix))
	if any(inbox) == nil {
		p.problem(fmt.Errorf("participant %q has no inbox: give New one, for example sqlinbox.New(db, sqlinbox.SQLite)", name))
	}
	return p
}

// Name is the participant's name.
func (p *Participant[Tx]) Name() string { return p.name }

// Check reports everything that is wrong with the participant and its handlers,
// joined; nil if it can run.
func (p *Participant[Tx]) Check() error {
	problems := p.problems
	if len(p.handlers) == 0 {
		problems = append(slices.Clip(problems), fmt.Errorf("participant %q has no handlers: register them with Handle and HandleUndo first", p.name))
	}
	return errors.Join(problems...)
}

func (p *Participant[Tx]) problem(err error) {
	if err != nil {
		p.problems = append(p.problems, err)
	}
}

// register adds a handler, or a problem for Check to report.
func (p *Participant[Tx]) register(participant, action string, h handler[Tx]) {
	if participant != p.name {
		p.problem(fmt.Errorf("action %q belongs to participant %q and is handled by %q: handle it there", action, participant, p.name))
		return
	}
	if err := contract.CheckName("action", action); err != nil {
		p.problem(fmt.Errorf("participant %q: %w", p.name, err))
		return
	}
	if _, taken := p.handlers[action]; taken {
		p.problem(fmt.Errorf("participant %q: action %q is handled twice: one action has one handler", p.name, action))
		return
	}
	p.handlers[action] = h
}
