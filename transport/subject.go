package transport

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
)

// Subjects builds and parses the subjects under one prefix. The zero value uses DefaultPrefix.
type Subjects struct {
	// Prefix is the first token, or tokens, of every subject; "" means "saga".
	Prefix string
}

// DefaultPrefix is the default first token of every subject.
const DefaultPrefix = "saga"

func (s Subjects) prefix() string {
	if s.Prefix == "" {
		return DefaultPrefix
	}
	return s.Prefix
}

// On returns s. If s has no prefix, and the bus is a Prefixer, the result has the prefix of the bus.
func (s Subjects) On(bus any) Subjects {
	if p, ok := bus.(Prefixer); ok && s.Prefix == "" {
		s.Prefix = p.Prefix()
	}
	return s
}

// Command returns the subject of a command.
func (s Subjects) Command(participant, action string) string {
	return s.prefix() + ".command." + participant + "." + action
}

// Commands returns the filter for all commands of a participant.
func (s Subjects) Commands(participant string) string {
	return s.prefix() + ".command." + participant + ".>"
}

// Event returns the subject of the answer to an attempt. The subject identifies the command, so
// that an answer needs no other attribute than its type. The token after "event" is the sender, so
// that permissions of the bus can bind it to the participant's credentials.
func (s Subjects) Event(participant string, key contract.Key, attempt int) string {
	return s.prefix() + ".event." + participant + "." + string(key.Saga) + "." + key.Birth.String() + "." +
		string(key.Step) + "." + string(key.Direction) + "." + strconv.Itoa(attempt)
}

// ParseEvent parses the subject of an answer. An error quotes only little of the subject, because
// it becomes the reason of a dead letter.
func (s Subjects) ParseEvent(subject string) (participant string, key contract.Key, attempt int, err error) {
	const right = "an answer's subject is <prefix>.event.<participant>.<saga>.<birth>.<step>.<do|undo>.<attempt>, as the command's reply attribute gives it"
	rest, ok := strings.CutPrefix(subject, s.prefix()+".event.")
	if !ok {
		return "", key, 0, fmt.Errorf("subject %q: %s", contract.Cut(subject, contract.MaxNameLength), right)
	}
	tokens := strings.Split(rest, ".")
	if len(tokens) != 6 {
		return "", key, 0, fmt.Errorf("subject %q has %s after event instead of 6: %s", contract.Cut(subject, contract.MaxNameLength), plural.Of(len(tokens), "token", "tokens"), right)
	}
	if err := contract.CheckName("participant", tokens[0]); err != nil {
		return "", key, 0, err
	}
	if key.Birth, err = contract.ParseBirth(tokens[2]); err != nil {
		return "", key, 0, fmt.Errorf("subject %q: %w: %s", contract.Cut(subject, contract.MaxNameLength), err, right)
	}
	key.Saga, key.Step, key.Direction = contract.SagaID(tokens[1]), contract.StepName(tokens[3]), contract.Direction(tokens[4])
	if err := key.Check(); err != nil {
		return "", key, 0, fmt.Errorf("subject %q: %w: %s", contract.Cut(subject, contract.MaxNameLength), err, right)
	}
	attempt, ok = contract.ParseNumber(tokens[5], 1)
	if !ok {
		return "", key, 0, fmt.Errorf("subject %q: attempt %q is not a number from 1 without leading zeros: %s", contract.Cut(subject, contract.MaxNameLength), contract.Cut(tokens[5], contract.MaxNameLength), right)
	}
	return tokens[0], key, attempt, nil
}

// Bundle returns the subject of a message that contains n commands to, or n answers from, one
// participant. A single command or answer never has such a subject.
func (s Subjects) Bundle(stream Stream, participant string, n int) string {
	return s.prefix() + "." + streamWords[stream] + "." + participant + bundleToken + strconv.Itoa(n)
}

const bundleToken = ".bundle."

// Bundles returns the filter for the bundles in a stream.
func (s Subjects) Bundles(stream Stream) string {
	return s.prefix() + "." + streamWords[stream] + ".*" + bundleToken + "*"
}

// ParseBundle parses the subject of a bundle. ok is false for the subject of a single message.
func (s Subjects) ParseBundle(subject string) (participant string, n int, ok bool) {
	before, count, ok := strings.Cut(subject, bundleToken)
	if !ok {
		return "", 0, false
	}
	participant = s.Participant(before)
	if participant == "" || !strings.HasSuffix(before, "."+participant) {
		return "", 0, false
	}
	n, ok = contract.ParseNumber(count, 1)
	return participant, n, ok
}

// Participant returns the participant in the subject of a command, an answer or a bundle, or "" if
// there is none.
func (s Subjects) Participant(subject string) string {
	rest, ok := strings.CutPrefix(subject, s.prefix())
	if !ok || !strings.HasPrefix(rest, ".") {
		return ""
	}
	word, rest, _ := strings.Cut(rest[1:], ".")
	if word != streamWords[StreamCommands] && word != streamWords[StreamEvents] {
		return ""
	}
	participant, _, _ := strings.Cut(rest, ".")
	return participant
}

// TokenOverdue is the last token of the subject of an announcement that a deadline passed after the
// point of no return. The last token of other announcements is the phase.
const TokenOverdue = "overdue"

// Lifecycle returns the subject of an announcement. token is a phase or TokenOverdue.
func (s Subjects) Lifecycle(definition, token string) string {
	return s.prefix() + ".lifecycle." + definition + "." + token
}

// UnknownParticipant is the token for dead letters whose original subject names no valid
// participant.
const UnknownParticipant = "unknown"

// DeadLetter returns the subject of a dead letter for a message that was received on origin for a
// participant. An invalid or empty name becomes UnknownParticipant. Otherwise, senders of invalid
// messages could create any number of subjects.
func (s Subjects) DeadLetter(origin Stream, participant string) string {
	if contract.CheckName("participant", participant) != nil {
		participant = UnknownParticipant
	}
	return s.prefix() + ".dead." + string(origin) + "." + participant
}

// DeadLetters returns the filter for the dead letters of an origin and a participant; "" means any.
func (s Subjects) DeadLetters(origin Stream, participant string) string {
	if origin == "" && participant == "" {
		return s.All(StreamDeadLetters)
	}
	return s.prefix() + ".dead." + cmp.Or(string(origin), "*") + "." + cmp.Or(participant, "*")
}

// All returns the filter for all subjects of a stream.
func (s Subjects) All(stream Stream) string {
	return s.prefix() + "." + streamWords[stream] + ".>"
}

// streamWords holds, for each stream, the token that follows the prefix.
var streamWords = map[Stream]string{StreamCommands: "command", StreamEvents: "event", StreamLifecycle: "lifecycle", StreamDeadLetters: "dead"}

// API returns the subject of an operation of the coordinator's API, such as "start".
func (s Subjects) API(operation string) string { return s.prefix() + ".api." + operation }

// Owner returns a subject for claims on the prefix. what is the rest of the subject.
func (s Subjects) Owner(what string) string { return s.prefix() + ".owner." + what }

// Subscribe returns the subject of a participant's subscribe request. The last token is the
// participant, so that permissions of the bus can bind it to the participant's credentials.
func (s Subjects) Subscribe(participant string) string {
	return s.API(api.MethodSubscribe) + "." + participant
}
