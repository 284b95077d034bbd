package cli_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/internal/cli"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// datum is user data, together with whether it must be accepted. The latter is known from how the
// data was generated.
type datum struct {
	bytes       []byte
	contentType string // "" means JSON
	valid       bool
}

func (d datum) json() bool { return d.contentType == "" || d.contentType == "application/problem+json" }

// compacted removes the white space between JSON tokens, without using a JSON library.
func compacted(text []byte) string {
	var b strings.Builder
	inside := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if !inside && strings.IndexByte(" \t\r\n", c) >= 0 {
			continue
		}
		b.WriteByte(c)
		switch {
		case inside && c == '\\':
			i++
			b.WriteByte(text[i])
		case c == '"':
			inside = !inside
		}
	}
	return b.String()
}

var (
	words = []string{
		`"plain"`, `"<&>"`, `"\u003c\u0026\u003e"`, "\"\u2028\u2029\x7f\u0085\u202e\"", `"\u0000\u001f\"\\\/"`, `"\ud83d\ude00😀"`, `"caf\u00e9 café"`, `""`, `"\\ud800"`, "\"\ufffd\ufeff\"",
		`1`, `1.0`, `-0`, `12345678901234567.89`, `9007199254740993`, `1e400`, `-1.50E+03`, `true`, `false`, `null`, `[]`, `{}`, `{"":0}`,
	}
	badWords = []string{"\"caf\xe9\"", `"\ud800"`, `"\udfff\ud800"`, "\"\xed\xa0\x80\"", `{"a":1,"a":1}`, `{"<":1,"\u003c":2}`, "{\"\xff\":1}", `NaN`, `'a'`, ``, `01`, `{"a":1`, `"` + "\n" + `"`}
	spaces   = []string{"", "", "", " ", "\n", " \t\r\n"}
	others   = []string{"caf\xe9", "\x00\xff\xfe", `{"a":1}`, "plain <&>", `"\ud800"`, strings.Repeat("\xff", 150_000)}
)

// drawData draws data. Most of it is valid JSON, some has one fault, and some is not JSON.
func drawData(t *rapid.T, most int) datum {
	switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); kind {
	case 0:
		return datum{[]byte(others[rapid.IntRange(0, len(others)-1).Draw(t, "other")]), rapid.SampledFrom([]string{"text/plain; charset=iso-8859-1", "application/octet-stream"}).Draw(t, "type"), true}
	case 1: // characters that escaping would lengthen
		unit := rapid.SampledFrom([]string{"<", "&&>", "é", `\"`, "\u2028", `",` + `"`}).Draw(t, "unit")
		n := rapid.SampledFrom([]int{most - 4, most / 2, most + 1}).Draw(t, "size") / len(unit) * len(unit)
		text := `["` + strings.Repeat(unit, n/len(unit)) + `"]`
		return datum{[]byte(text), "", len(text) <= most}
	case 2: // deep nesting
		depth := rapid.SampledFrom([]int{119, 120, 121, 128, 1000, 20_000}).Draw(t, "depth")
		open, end := "[", "]"
		if rapid.Bool().Draw(t, "objects") {
			open, end = `{"a":`, `}`
		}
		return datum{[]byte(strings.Repeat(open, depth) + "1" + strings.Repeat(end, depth)), "", depth <= 120}
	default:
		bad := kind == 3
		var b bytes.Buffer
		parts := rapid.IntRange(1, 6).Draw(t, "parts")
		at := rapid.IntRange(0, parts-1).Draw(t, "at")
		space := rapid.SampledFrom(spaces)
		b.WriteString(space.Draw(t, "space") + "{")
		for i := range parts {
			if i > 0 {
				b.WriteString("," + space.Draw(t, "space"))
			}
			word := rapid.SampledFrom(words).Draw(t, "word")
			if bad && i == at {
				word = rapid.SampledFrom(badWords).Draw(t, "bad")
			}
			fmt.Fprintf(&b, `"<n%d>"%s:%s%s`, i, space.Draw(t, "space"), space.Draw(t, "space"), word)
		}
		b.WriteString("}" + space.Draw(t, "space"))
		return datum{b.Bytes(), rapid.SampledFrom([]string{"", "application/problem+json"}).Draw(t, "type"), !bad}
	}
}

// drawText draws a name or a reason.
func drawText(t *rapid.T, label string) string {
	return rapid.SampledFrom([]string{
		"kim", "<b>kim</b> & co", "naïve 😀", "a\u0001b\x7f\u0085", "right\u202eleft", "line\nfeed\ttab", `"quoted\"`, "\u2028", "100%", strings.Repeat("<", 1024), strings.Repeat("é", 512), strings.Repeat("\u0001", 1024),
	}).Draw(t, label)
}

// seen is a saga as one interface shows it: payloads as their bytes, and text unchanged.
type seen struct {
	phase, reason, pausedBy, pausedReason string
	result, input, started                string
	inputBinary, startedBinary            string
}

// as returns what is seen of data in another form.
func (s seen) as(form func(string) string) seen {
	s.result, s.input, s.started = form(s.result), form(s.input), form(s.started)
	return s
}

// exact is the form in which protobuf shows JSON: byte for byte as it was accepted.
func exact(text string) string { return text }

// compact is the form in which JSON shows JSON: inline, without white space between the tokens.
func compact(text string) string { return compacted([]byte(text)) }

// meaning is the form in which the CLI shows JSON: characters that a terminal interprets are escaped.
func meaning(text string) string {
	if text == "" {
		return ""
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err.Error()
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func seenOf(s *apiv1.Saga, events []*apiv1.Event) seen {
	return seen{
		s.GetPhase(), s.GetReason(), s.GetPaused().GetBy(), s.GetPaused().GetReason(), s.GetSteps()[0].GetResult().GetJson(),
		s.GetInput().GetJson(), events[0].GetPayload().GetJson(), string(s.GetInput().GetBinary()), string(events[0].GetPayload().GetBinary()),
	}
}

// looks reads a saga through every interface.
func (w *world) looks(t *rapid.T, id string) map[string]seen {
	ctx := context.Background()
	all := map[string]seen{}
	for name, face := range w.faces {
		got, err := face.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: id}))
		if err != nil {
			t.Fatalf("%s: get: %v", name, err)
		}
		history, err := face.History(ctx, connect.NewRequest(&apiv1.HistoryRequest{Id: id, WithSaga: true}))
		if err != nil {
			t.Fatalf("%s: history: %v", name, err)
		}
		all[name] = seenOf(got.Msg.GetSaga(), history.Msg.GetEvents())
		within, stop := context.WithCancel(ctx)
		stream, err := face.Watch(within, connect.NewRequest(&apiv1.WatchRequest{Id: id}))
		if err != nil || !stream.Receive() {
			t.Fatalf("%s: watch: %v, %v", name, err, stream.Err())
		}
		all[name+" watch"] = seenOf(stream.Msg().GetSaga(), history.Msg.GetEvents())
		stop()
		_ = stream.Close()
	}
	for _, args := range [][]string{{"show", id}, {"history", id, "--payloads"}, {"list", "--id-prefix", id}} {
		if code, out, said := w.command(t, nil, args...); code != cli.ExitOK || !strings.Contains(out, "started") && !strings.Contains(out, "STARTED") {
			t.Fatalf("%v: exit code %d: %s", args, code, said)
		}
	}
	code, out, said := w.command(t, nil, "show", id, "-o", "json")
	codeOf, events, saidOf := w.command(t, nil, "history", id, "-o", "json")
	if code != 0 || codeOf != 0 {
		t.Fatalf("CLI: %s%s", said, saidOf)
	}
	all["CLI"] = ofJSON(t, []byte(out), []byte(events))
	got, refused := w.asksFor(t, "get", `{"id":"`+id+`"}`)
	history, refusedOf := w.asks(t, "history", []byte(`{"id":"`+id+`"}`))
	if refused != "" || refusedOf != "" {
		t.Fatalf("NATS: %s%s", refused, refusedOf)
	}
	all["NATS"] = ofJSON(t, got, slices.Concat([]byte(`{"events":`), history["events"], []byte("}")))
	return all
}

// ofJSON parses JSON of the API, using only encoding/json.
func ofJSON(t *rapid.T, shown, history []byte) seen {
	type payload struct {
		JSON   json.RawMessage
		Binary []byte
	}
	var s struct {
		Phase, Reason string
		Paused        struct{ By, Reason string }
		Steps         []struct{ Result payload }
		Input         payload
	}
	var h struct{ Events []struct{ Payload payload } }
	if err := errors.Join(json.Unmarshal(shown, &s), json.Unmarshal(history, &h)); err != nil {
		t.Fatal(err)
	}
	return seen{
		s.Phase, s.Reason, s.Paused.By, s.Paused.Reason, string(s.Steps[0].Result.JSON),
		string(s.Input.JSON), string(h.Events[0].Payload.JSON), string(s.Input.Binary), string(h.Events[0].Payload.Binary),
	}
}

// TestWhatIsAcceptedIsShown checks inputs, results, reasons and names that one interface accepts.
// Every interface shows the same value, byte for byte in protobuf, and every decision reports its
// effect. If one interface could not show a value, all of them refuse it (I12).
func TestWhatIsAcceptedIsShown(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue { // each check runs a saga and twenty requests
		if err := f.Value.Set("20"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
	}
	w := newWorld(t)
	n, want := 0, map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		n++
		id := fmt.Sprintf("case-%d-", n)
		input := drawData(t, 256<<10)
		taken, why := w.starts(t, id, input)
		if taken != input.valid {
			t.Fatalf("%.200q of %q: accepted %t, %.300s", input.bytes, input.contentType, taken, why)
		}
		if !taken {
			if _, refused := w.asksFor(t, "get", `{"id":"`+id+`"}`); !strings.HasPrefix(refused, "not_found") {
				t.Fatalf("it was refused, but get answers %q", refused)
			}
			return
		}
		expected := seen{phase: "running"}
		if input.json() {
			expected.input = string(input.bytes)
		} else {
			expected.inputBinary = string(input.bytes)
		}
		expected.started, expected.startedBinary = expected.input, expected.inputBinary

		// The participant answers with a result or a reason.
		one, _ := w.asksFor(t, "get", `{"id":"`+id+`"}`)
		var born struct{ Birth string }
		if err := json.Unmarshal(one, &born); err != nil {
			t.Fatal(err)
		}
		birth := born.Birth
		result := drawData(t, 256<<10)
		var header []string
		if result.contentType != "" {
			header = []string{"ce-datacontenttype", url.PathEscape(result.contentType)}
		}
		w.answers(t, id, birth, "say", "do", transport.TypeCompleted, result.bytes, header...)
		fits := result.valid
		switch {
		case !result.json():
			expected.result = `"` + base64.StdEncoding.EncodeToString(result.bytes) + `"`
		default:
			expected.result = string(result.bytes)
		}
		if len(result.bytes) == 0 {
			fits = true
		}
		if !fits {
			expected.result, expected.phase = "", "compensating"
		}
		w.until(t, id, 2)

		// An operator pauses the saga through a random interface.
		expected.pausedBy, expected.pausedReason = drawText(t, "by"), drawText(t, "reason")
		if strings.TrimSpace(expected.pausedBy) == "" || strings.TrimSpace(expected.pausedReason) == "" {
			expected.pausedBy, expected.pausedReason = "kim", "x"
		}
		w.pauses(t, id, expected.pausedBy, expected.pausedReason)

		for face, got := range w.looks(t, id) {
			form := compact
			if face == "CLI" {
				got, form = got.as(meaning), meaning
			} else if strings.HasPrefix(face, "gRPC") {
				form = exact
			}
			compare(t, face, got, expected.as(form))
		}

		// The saga ends. If it compensates, its reason comes from the participant.
		if _, refused := w.asksFor(t, "operate", `{"id":"`+id+`","decision":{"operation":"resume","by":"kim","reason":"looked"}}`); refused != "" {
			t.Fatal(refused)
		}
		switch {
		case fits && rapid.Bool().Draw(t, "resolved"):
			w.resolves(t, id, birth)
		case fits:
			w.answers(t, id, birth, "seal", "do", transport.TypeCompleted, nil)
		default:
			w.answers(t, id, birth, "say", "undo", transport.TypeCompleted, nil)
		}
		reply, refused := w.asksFor(t, "wait", `{"id":"`+id+`","timeout":"60s"}`)
		if strings.Contains(string(reply), `"phase":"parked"`) { // the result for resolve was refused
			reply, refused = w.asksFor(t, "operate", `{"id":"`+id+`","decision":{"operation":"skip","by":"kim","reason":"x"}}`)
		}
		if refused != "" || !strings.Contains(string(reply), `"ended":"`) {
			t.Fatalf("the saga has not ended: %s %.300s", refused, reply)
		}
		want[id] = expected.started
	})
	code, out, said := w.command(nil, nil, "export")
	if code != cli.ExitOK {
		t.Fatalf("export: exit code %d: %s", code, said)
	}
	for line := range strings.Lines(out) {
		var one struct {
			Saga    struct{ ID string }
			History []struct {
				Payload struct{ JSON json.RawMessage }
			}
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		if text, known := want[one.Saga.ID]; !known || meaning(string(one.History[0].Payload.JSON)) != meaning(text) {
			t.Errorf("the export has %s with the input %.200q, want %.200q", one.Saga.ID, one.History[0].Payload.JSON, text)
		}
		delete(want, one.Saga.ID)
	}
	if len(want) > 0 {
		t.Errorf("the export lacks %d sagas", len(want))
	}
}

func compare(t *rapid.T, face string, got, want seen) {
	if want.phase == "compensating" { // the reason comes from the coordinator
		want.reason = got.reason
		if !strings.Contains(got.reason, "bad-result: ") {
			t.Fatalf("%s shows this reason for a result that is not valid: %q", face, got.reason)
		}
	}
	if got == want {
		return
	}
	texts := func(s seen) []string {
		return []string{s.phase, s.reason, s.pausedBy, s.pausedReason, s.result, s.input, s.started, s.inputBinary, s.startedBinary}
	}
	for i, text := range texts(got) {
		if other := texts(want)[i]; text != other {
			at := 0
			for at < min(len(text), len(other)) && text[at] == other[at] {
				at++
			}
			from := max(0, at-20)
			t.Fatalf("%s, field %d differs from byte %d (of %d): %.80q; want (of %d) %.80q", face, i, from, len(text), text[from:], len(other), other[from:])
		}
	}
}

// TestTextsThatAreNotUTF8 checks that the CLI does not send text that is not UTF-8, and says why.
func TestTextsThatAreNotUTF8(t *testing.T) {
	for _, args := range [][]string{
		{"cancel", "order-1", "--by", "caf\xe9", "--reason", "x"}, {"pause", "order-1", "--by", "kim", "--reason", "\xff"}, {"show", "order-\xe9"},
		{"start", "checkout", "--id", "\xff"}, {"list", "--id-prefix", "\xff"},
	} {
		var out, said strings.Builder
		code := cli.Run(t.Context(), append(args, "--server", "http://127.0.0.1:1"), strings.NewReader(""), &out, &said)
		if code != cli.ExitUsage || !strings.Contains(said.String(), "UTF-8") {
			t.Errorf("%q: exit code %d: %s", args, code, said.String())
		}
	}
	t.Setenv("AMENDS_BY", "caf\xe9")
	var said strings.Builder
	if code := cli.Run(t.Context(), []string{"cancel", "order-1", "--reason", "x", "--server", "http://127.0.0.1:1"}, strings.NewReader(""), &said, &said); code != cli.ExitUsage || !strings.Contains(said.String(), "UTF-8") {
		t.Errorf("AMENDS_BY: exit code %d: %s", code, said.String())
	}
}
