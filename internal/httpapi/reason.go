package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// Reasons are free text from participants and operators. They are redacted only by exact match: a
// redacted value of the saga's input or results is also redacted where it appears verbatim in a
// reason.

const (
	// minSecret is the minimum length, in bytes, of the values to search for.
	minSecret = 3
	// minPart is the minimum length, in bytes, of the values that are also searched for inside
	// longer words.
	minPart = 6
	// cutMark is the end of a text that was truncated.
	cutMark = "…"
)

// secrets holds the values of redacted fields, longest first. It is nil if these values are unknown
// because a payload is not JSON or not available. In that case no reason may be shown.
type secrets []string

// reasons redacts the reasons in an answer.
func (r redaction) reasons(ctx context.Context, request any, message proto.Message) {
	if history, ok := request.(*apiv1.HistoryRequest); ok {
		if response, ok := message.(*apiv1.HistoryResponse); ok {
			r.history(ctx, history.Id, response)
		}
	}
	each(message.ProtoReflect(), func(m proto.Message) {
		switch m := m.(type) {
		case *apiv1.Saga:
			r.saga(ctx, m)
		case *apiv1.DeadLetter:
			letter(m)
		}
	})
}

// each calls do for a message and every message within it.
func each(m protoreflect.Message, do func(proto.Message)) {
	do(m.Interface())
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range value.List().Len() {
				each(value.List().Get(i).Message(), do)
			}
		default:
			each(value.Message(), do)
		}
		return true
	})
}

// letter hides the reason in a dead letter's message. It also hides headers that could not be
// parsed, because they may contain a reason.
func letter(m *apiv1.DeadLetter) {
	for _, h := range m.Headers {
		if strings.EqualFold(h.Name, transport.AttrReason) || strings.EqualFold(h.Name, transport.HeaderBlock) {
			h.Values = []string{Redacted}
		}
	}
}

// saga redacts the reasons in a saga.
func (r redaction) saga(ctx context.Context, m *apiv1.Saga) {
	written := []*string{&m.Reason}
	if m.Paused != nil {
		written = append(written, &m.Paused.Reason)
	}
	for _, step := range m.Steps {
		written = append(written, &step.Reason)
	}
	written = slices.DeleteFunc(written, func(text *string) bool { return *text == "" })
	if len(written) == 0 {
		return
	}
	known := r.ofSaga(m)
	if len(m.Steps) == 0 { // from a list, which has no payloads
		known = r.ask(ctx, m.Id)
	}
	for _, text := range written {
		*text = r.reason(*text, known)
	}
}

// history redacts the reasons in a saga's events.
func (r redaction) history(ctx context.Context, id string, response *apiv1.HistoryResponse) {
	if !slices.ContainsFunc(response.Events, func(e *apiv1.Event) bool { return e.Reason != "" }) {
		return
	}
	known := r.ask(ctx, id)
	for _, e := range response.Events {
		if known != nil && e.Payload != nil { // an answer that gave no result can have a payload too
			known = known.and(r.values(e.Payload))
		}
	}
	for _, e := range response.Events {
		e.Reason = r.reason(e.Reason, known)
	}
}

// ask returns the secrets of a saga. It reads the payloads from the coordinator.
func (r redaction) ask(ctx context.Context, id string) secrets {
	response, err := ask[api.GetResponse](ctx, r.coordinator, api.MethodGet, &api.GetRequest{ID: contract.SagaID(id)})
	if err != nil {
		return nil
	}
	m, err := messageOf[apiv1.Saga](response.Saga)
	if err != nil {
		return nil
	}
	return r.ofSaga(m)
}

// ofSaga returns the secrets of a saga. m must contain all payloads of the saga.
func (r redaction) ofSaga(m *apiv1.Saga) secrets {
	known := r.values(m.GetInput())
	for _, step := range m.GetSteps() {
		switch {
		case opaque(step.Result):
			return nil
		case step.Result != nil:
			known = known.and(r.values(step.Result))
		}
	}
	return known
}

// and returns the union of s and other, or nil if either of them is nil.
func (s secrets) and(other secrets) secrets {
	if s == nil || other == nil {
		return nil
	}
	all := append(append(make(secrets, 0, len(s)+len(other)), s...), other...) // never nil
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(all)
}

// values returns the secrets in a payload.
func (r redaction) values(p *apiv1.Payload) secrets {
	if p == nil || p.LeftOut || len(p.Binary) > 0 {
		return nil
	}
	found := secrets{}
	if strings.TrimSpace(p.Json) == "" {
		return found
	}
	decoder := json.NewDecoder(strings.NewReader(p.Json))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil || decoder.More() {
		return nil
	}
	r.collect(value, false, &found)
	return found.and(secrets{})
}

// collect adds the values of redacted fields, including all nested values.
func (r redaction) collect(value any, secret bool, found *secrets) {
	text := ""
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			r.collect(field, secret || r.names[strings.ToLower(name)], found)
		}
	case []any:
		for _, item := range v {
			r.collect(item, secret, found)
		}
	case string:
		text = v
	case json.Number:
		text = v.String()
	}
	if !secret || len(text) < minSecret {
		return
	}
	*found = append(*found, text)
	if written, err := json.Marshal(text); err == nil { // as it appears in quoted JSON
		*found = append(*found, string(written[1:len(written)-1]))
	}
}

// reason returns a reason with its secrets redacted. In a reason that is JSON, fields are also
// redacted by name.
func (r redaction) reason(text string, known secrets) string {
	if text == "" {
		return ""
	}
	if known == nil {
		return Redacted
	}
	if begin := strings.IndexAny(text, "{["); begin >= 0 && json.Valid([]byte(text[begin:])) {
		shown, err := r.json([]byte(text[begin:]))
		if err != nil {
			return Redacted
		}
		text = text[:begin] + string(bytes.TrimSpace(shown))
	}
	for _, secret := range known {
		text = conceal(text, secret)
	}
	return known.uncut(text)
}

// conceal redacts all occurrences of a secret in a text. A short secret is redacted only where it
// is a whole word.
func conceal(text, secret string) string {
	var out strings.Builder
	for {
		at := strings.Index(text, secret)
		if at < 0 {
			return out.String() + text
		}
		end := at + len(secret)
		if len(secret) >= minPart || !joins(text[:at], secret) && !joins(secret, text[end:]) {
			out.WriteString(text[:at])
			out.WriteString(Redacted)
		} else {
			out.WriteString(text[:end])
		}
		text = text[end:]
	}
}

// joins reports whether a word continues from the end of a to the beginning of b.
func joins(a, b string) bool {
	last, _ := utf8.DecodeLastRuneInString(a)
	first, _ := utf8.DecodeRuneInString(b)
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	return a != "" && b != "" && word(last) && word(first)
}

// uncut redacts a partial secret at the end of a truncated text.
func (s secrets) uncut(text string) string {
	whole, cut := strings.CutSuffix(text, cutMark)
	if !cut {
		return text
	}
	for _, secret := range s {
		for n := len(secret) - 1; n >= minSecret; n-- {
			if strings.HasSuffix(whole, secret[:n]) {
				return whole[:len(whole)-n] + Redacted + cutMark
			}
		}
	}
	return text
}
