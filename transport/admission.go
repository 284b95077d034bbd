package transport

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amends-dev/amends/contract"
)

// Streams lists all four streams, in a fixed order.
var Streams = [...]Stream{StreamCommands, StreamEvents, StreamLifecycle, StreamDeadLetters}

// WorkQueue reports whether each message of the stream is delivered to only one subscription and
// removed after its acknowledgement.
func (s Stream) WorkQueue() bool { return s == StreamCommands || s == StreamEvents }

// Repeatable reports whether everything on the stream is sent or requested again after the bus has
// lost it. A command is pending in the coordinator's store until its answer is committed, so an
// answer that is lost is requested again. Only such streams may be in memory
// (docs/adr/0044-queues-in-memory.md). What nobody repeats, such as a dead letter, must be on another
// stream, or be a request that the coordinator answers after its commit.
func (s Stream) Repeatable() bool { return s == StreamCommands || s == StreamEvents }

// StreamOf returns the stream that stores a subject. It returns an error if no stream stores the
// subject, or if the subject is invalid (see CheckSubject).
func (s Subjects) StreamOf(subject string) (Stream, error) {
	if err := CheckSubject(subject); err != nil {
		return "", err
	}
	if rest, ok := strings.CutPrefix(subject, s.prefix()); ok && strings.HasPrefix(rest, ".") {
		word, _, _ := strings.Cut(rest[1:], ".")
		for _, stream := range Streams {
			if word == streamWords[stream] && len(rest) > len("."+word) {
				return stream, nil
			}
		}
	}
	return "", fmt.Errorf("subject %q belongs to no stream: it begins with none of %[2]s.command, %[2]s.event, %[2]s.lifecycle and %[2]s.dead", contract.Cut(subject, contract.MaxNameLength), s.prefix())
}

// CheckSubject returns an error if the subject is invalid, so that nothing can be published to it.
// A valid subject has at most MaxSubject bytes and consists of non-empty tokens separated by dots.
// It contains no wildcards, spaces or control characters.
func CheckSubject(subject string) error {
	if len(subject) > MaxSubject {
		return fmt.Errorf("subject %q %s", contract.Cut(subject, contract.MaxNameLength), tooLong(len(subject), MaxSubject))
	}
	const right = "a subject is made of tokens separated by single dots, without spaces, * or >"
	before := byte('.')
	for i := range len(subject) {
		c := subject[i]
		switch {
		case c == '.' && before == '.':
			return fmt.Errorf("subject %q has an empty token: %s", contract.Cut(subject, contract.MaxNameLength), right)
		case c <= ' ', c == '*', c == '>', c == 0x7f:
			return fmt.Errorf("subject %q contains %q: %s", contract.Cut(subject, contract.MaxNameLength), c, right)
		}
		before = c
	}
	if before == '.' {
		return fmt.Errorf("subject %q has an empty token: %s", contract.Cut(subject, contract.MaxNameLength), right)
	}
	return nil
}

// Matches reports whether a filter matches a subject. In a filter, * matches one token, and > at
// the end matches one or more tokens.
func Matches(filter, subject string) bool {
	for {
		f, restF, moreF := strings.Cut(filter, ".")
		t, restT, moreT := strings.Cut(subject, ".")
		switch {
		case f == ">" && !moreF:
			return t != ""
		case f != "*" && f != t:
			return false
		case !moreF || !moreT:
			return moreF == moreT
		}
		filter, subject = restF, restT
	}
}

// Overlap reports whether there is a subject that both filters match.
func Overlap(a, b string) bool {
	for {
		x, restA, moreA := strings.Cut(a, ".")
		y, restB, moreB := strings.Cut(b, ".")
		switch {
		case x == ">" && !moreA, y == ">" && !moreB:
			return true
		case x != y && x != "*" && y != "*":
			return false
		case !moreA || !moreB:
			return moreA == moreB
		}
		a, b = restA, restB
	}
}

// Admit checks whether an envelope is valid on the stream from which it was received. It sets the
// attributes that the subject contains, so an answer needs no other attribute than its type. It
// cuts a reason that is longer than MaxReason. If it returns an error, the message must be
// dead-lettered with the error as the reason.
func (s Subjects) Admit(stream Stream, e *Envelope) error {
	e.Reason = contract.Cut(e.Reason, MaxReason)
	switch stream {
	case StreamCommands:
		return s.admitCommand(e)
	case StreamEvents:
		return s.admitEvent(e)
	case StreamLifecycle:
		return needType(e, TypeLifecycle)
	case StreamDeadLetters:
		return needType(e, TypeDead)
	}
	return fmt.Errorf("unknown stream %q", stream)
}

func needType(e *Envelope, types ...string) error {
	if slices.Contains(types, e.Type) {
		return nil
	}
	return BadAttribute(AttrType, e.Type, "expected "+strings.Join(types, " or "))
}

func (s Subjects) admitCommand(e *Envelope) error {
	if err := needType(e, TypeCommand); err != nil {
		return err
	}
	for _, need := range [...]struct{ name, value string }{
		{AttrSaga, string(e.Saga)},
		{AttrStep, string(e.Step)},
		{AttrDirection, string(e.Direction)},
		{AttrReplyTo, e.ReplyTo},
	} {
		if need.value == "" {
			return BadAttribute(need.name, "", "is missing; commands must have it")
		}
	}
	if e.Birth == 0 {
		return BadAttribute(AttrBirth, "", "is missing; commands must have it")
	}
	if e.Attempt < 1 {
		return BadAttribute(AttrAttempt, "", "is missing; commands must have it, from 1")
	}
	if e.ID == "" {
		e.ID = CommandID(e.Key(), e.Attempt)
	}
	return nil
}

func (s Subjects) admitEvent(e *Envelope) error {
	if err := needType(e, TypeCompleted, TypeRejected, TypeFailed); err != nil {
		return err
	}
	_, key, attempt, err := s.ParseEvent(e.Subject)
	if err != nil {
		return err
	}
	contradicts := func(name, header, subject string) error {
		if header != "" && header != subject {
			return BadAttribute(name, header, fmt.Sprintf("contradicts the subject, which says %q; leave the attribute out", subject))
		}
		return nil
	}
	if err := contradicts(AttrSaga, string(e.Saga), string(key.Saga)); err != nil {
		return err
	}
	if e.Birth != 0 && e.Birth != key.Birth {
		return contradicts(AttrBirth, e.Birth.String(), key.Birth.String())
	}
	if err := contradicts(AttrStep, string(e.Step), string(key.Step)); err != nil {
		return err
	}
	if err := contradicts(AttrDirection, string(e.Direction), string(key.Direction)); err != nil {
		return err
	}
	if e.Attempt != 0 && e.Attempt != attempt {
		return contradicts(AttrAttempt, fmt.Sprint(e.Attempt), fmt.Sprint(attempt))
	}
	e.Saga, e.Birth, e.Step, e.Direction, e.Attempt = key.Saga, key.Birth, key.Step, key.Direction, attempt
	if e.ID == "" {
		e.ID = CommandID(key, attempt)
	}
	return nil
}
