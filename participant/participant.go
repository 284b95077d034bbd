package participant

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Participant answers the commands of one service. Tx is the type of the transaction in which its
// handlers write. Create a Participant with New, register handlers with Handle and HandleUndo, and
// call Run. To use a different carrier, call Answer instead.
type Participant[Tx any] struct {
	name     string
	source   string // source of its answers
	place    place  // for Answer; Run has its own
	inbox    Inbox[Tx]
	options  options
	handlers map[string]handler[Tx] // by action; not modified after the first command
	problems []error
	unknown  notices // limits the log about unknown actions
	claims   claims
}

// handler is a registered function without its type parameters.
type handler[Tx any] struct {
	direction  contract.Direction
	unrecorded bool           // whether an undo calls its handler even if no do is recorded
	stranger   *unknownAction // set if this is the stand-in for a handler that this process lacks
	// serve decodes the request, calls the function and encodes its result. It returns a completed
	// answer or an error.
	serve func(ctx context.Context, tx Tx, in input) (Answer, error)
	// contentType is the content type of a completed answer's data.
	contentType string
}

// New returns a participant. Commands are addressed to its name. If the name or an option is
// invalid, Run, Answer and Check return an error.
func New[Tx any](name string, inbox Inbox[Tx], opts ...Option) *Participant[Tx] {
	o, problems := newOptions(opts)
	p := &Participant[Tx]{
		name:     name,
		source:   "/amends/participant/" + name,
		inbox:    inbox,
		options:  o,
		handlers: make(map[string]handler[Tx]),
	}
	p.place = p.at(p.options.subjects)
	p.problem(contract.CheckName("participant", name))
	for _, err := range problems {
		p.problem(fmt.Errorf("participant %q: %w", name, err))
	}
	if any(inbox) == nil {
		p.problem(fmt.Errorf("participant %q has no inbox: pass one to New, for example sqlinbox.New(db, sqlinbox.SQLite)", name))
	}
	return p
}

// place is where a participant's commands and answers are on a bus.
type place struct {
	subjects transport.Subjects
	address  string // subject of its commands, without the action
}

func (p *Participant[Tx]) at(s transport.Subjects) place { return place{s, s.Command(p.name, "")} }

// Name returns the participant's name.
func (p *Participant[Tx]) Name() string { return p.name }

// Check returns all problems of the participant and its handlers, joined. It returns nil if the
// participant can run.
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

// register adds a handler. If the handler is invalid, register adds a problem that Check reports.
func (p *Participant[Tx]) register(participant, action string, h handler[Tx]) {
	if participant != p.name {
		p.problem(fmt.Errorf("action %q belongs to participant %q, but its handler is registered with %q: register it with %[2]q", action, participant, p.name))
		return
	}
	if err := contract.CheckName("action", action); err != nil {
		p.problem(fmt.Errorf("participant %q: %w", p.name, err))
		return
	}
	if _, taken := p.handlers[action]; taken {
		p.problem(fmt.Errorf("participant %q: action %q has two handlers: register only one", p.name, action))
		return
	}
	p.handlers[action] = h
}
