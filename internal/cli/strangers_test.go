package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/internal/apipb"
	"github.com/amends-dev/amends/internal/canary"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// spoken maps every command to command lines that make it print text from others: an answer of the
// API, a file, a name, or its own arguments. NAME is a canary; the names of FILE and DIR contain
// one.
var spoken = map[string][]string{
	"serve":                {"serve --nats-url NAME", "serve --data-dir DIR --definitions FILE", "serve --config FILE"},
	"start":                {"start checkout --id NAME", "start NAME", "start checkout --input NAME", "start checkout --wait"},
	"list":                 {"list", "list --count", "list --definition NAME"},
	"show":                 {"show NAME"},
	"wait":                 {"wait NAME --for 50ms"},
	"watch":                {"watch NAME", "watch"},
	"history":              {"history NAME", "history NAME --payloads"},
	"cancel":               {"cancel NAME --reason NAME", "cancel --where-open --reason x --yes", "cancel --where-open --reason x --dry-run", "cancel --where-open --reason x"},
	"retry":                {"retry NAME --reason x"},
	"resolve":              {"resolve NAME --outcome completed --result NAME --reason x", "resolve NAME --outcome rejected --reason x"},
	"skip":                 {"skip NAME --reason x"},
	"compensate":           {"compensate NAME --reason x"},
	"abandon":              {"abandon NAME --reason x"},
	"pause":                {"pause NAME --reason x"},
	"resume":               {"resume NAME --reason x"},
	"remove-damaged":       {"remove-damaged NAME --reason NAME"},
	"definition lint":      {"definition lint FILE", "definition lint DIR"},
	"definition apply":     {"definition apply FILE", "definition apply right.yaml"},
	"definition list":      {"definition list"},
	"definition show":      {"definition show checkout", "definition show FILE", "definition show NAME"},
	"definition graph":     {"definition graph checkout", "definition graph checkout --format svg", "definition graph FILE"},
	"definition diff":      {"definition diff checkout right.yaml", "definition diff FILE NAME"},
	"definition try":       {"definition try FILE NAME --input FILE", "definition try right.yaml NAME --input FILE", "definition try right.yaml charge --input FILE", "definition try right.yaml charge --input right.yaml --result NAME=NAME"},
	"dead-letters list":    {"dead-letters list"},
	"dead-letters show":    {"dead-letters show 1", "dead-letters show 2"},
	"dead-letters replay":  {"dead-letters replay 1"},
	"dead-letters discard": {"dead-letters discard 1"},
	"dead-letters purge":   {"dead-letters purge --all"},
	"orphans":              {"orphans FILE", "orphans keys.txt", "orphans --bolt-inbox FILE", "orphans --since NAME", "orphans NAME"},
	"key create":           {"key create --name NAME"},
	"token create":         {"token create --name NAME --role viewer"},
	"doctor":               {"doctor --nats-url nats://127.0.0.1:1 --nats-monitor SERVER", "doctor --nats-url NAME"},
	"nats-permissions":     {"nats-permissions NAME", "nats-permissions listener:NAME"},
	"config check":         {"config check --data-dir NAME --redact NAME", "config check --config FILE"},
	"context list":         {"context list"},
	"context set":          {"context set NAME --server NAME", "context set NAME --server http://127.0.0.1:1"},
	"context use":          {"context use NAME", "context use odd"},
	"context remove":       {"context remove NAME"},
	"export":               {"export", "export --definition NAME", "export --ended-since NAME"},
	"backup":               {"backup NAME", "backup FILE", "backup DIR/x --data-dir DIR"},
	"restore":              {"restore FILE --data-dir DIR/new"},
	"verify":               {"verify FILE", "verify --data-dir DIR"},
	"log skip":             {"log skip 1 --reason NAME --data-dir DIR", "log skip 1 --reason x --by NAME --data-dir DIR"},
	"store copy":           {"store copy FILE", "store copy NAME --data-dir DIR"},
	"healthcheck":          {"healthcheck --http SERVER"},
	"bench run":            {"bench run --dir NAME", "bench run --mix NAME", "bench run --cpu-profile NAME"},
	"bench large":          {"bench large --dir NAME"},
	"simulate":             {"simulate --bug NAME", "simulate --off NAME", "simulate --sagas 2 --cpu-profile DIR"},
	"completion":           {"completion bash", "completion NAME"},
	"complete":             {"complete NAME", "complete de"},
	"version":              {"version", "version NAME"},
}

// TestSpokenIsComplete checks that every command of the grammar has a line in spoken.
func TestSpokenIsComplete(t *testing.T) {
	parser, err := kong.New(&root{}, append(decimals(), kong.Vars{"shards": "1", "max_batch": "1", "max_open": "1"})...)
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, leaf := range parser.Model.Leaves(false) {
		path := leaf.Path()
		commands = append(commands, strings.TrimPrefix(strings.SplitN(path, " <", 2)[0], parser.Model.Name+" "))
	}
	for _, command := range commands {
		if len(spoken[command]) == 0 {
			t.Errorf("coordinator %s has no line in spoken: add one that makes it print text that others wrote", command)
		}
	}
	if len(commands) != len(spoken) {
		t.Errorf("%d commands, and %d in spoken", len(commands), len(spoken))
	}
}

// TestNobodyWritesToTheTerminal checks that text from others is printed without control characters,
// and never as a line of its own. In JSON it keeps its value. A canary is placed in every string of
// every answer of the API, in file names, files, contexts, variables and arguments.
func TestNobodyWritesToTheTerminal(t *testing.T) {
	seen, alone := map[string]bool{}, map[string]bool{} // alone: sends no request, so one run is enough
	for _, s := range []*canary.Coordinator{{Yes: true, Source: rightJSON, Key: rightKey}, {}, {Fails: true}} {
		server := httptest.NewServer(s)
		for command, lines := range spoken {
			for _, line := range lines {
				for _, output := range []string{"text", "json"} {
					if alone[line] || output == "json" && !s.Yes {
						continue
					}
					t.Run(line+" "+output, func(t *testing.T) {
						all := speak(t, s, server.URL, command, line, output)
						seen[command] = seen[command] || strings.Contains(all, `\u001b[31m`) || strings.Contains(all, `\x1b[31m`) // or escaped because the command quotes it
						alone[line] = s.Requests() == 0 && output == "json"
					})
				}
			}
		}
		server.Close()
	}
	for command := range spoken {
		if !seen[command] && !slices.Contains(silent, command) {
			t.Errorf("coordinator %s never printed a canary: its lines in spoken test nothing", command)
		}
	}
}

// silent lists the commands that never print text from others.
var silent = []string{"completion", "complete"}

// rightKey is a key that orphans accepts.
const rightKey = "order-42/hod85snpc0/charge-card/do"

const rightYAML = "name: checkout\nversion: 1\nsteps:\n  - step: {name: charge, kind: retriable, do: {participant: payment, action: charge}}\n"

// rightJSON is a different definition, so that a diff is not empty.
const rightJSON = `{"name":"checkout","version":1,"steps":[{"step":{"name":"ship","kind":"retriable","do":{"participant":"shipping","action":"ship"}}}]}`

// speak runs one command line, checks its output against the rules, and returns it.
func speak(t *testing.T, s *canary.Coordinator, server, command, line, output string) string {
	t.Helper()
	dir := t.TempDir()
	name := strings.NewReplacer("\x00", "", "/", "").Replace(canary.Text)
	odd := filepath.Join(dir, name)
	for path, data := range map[string]string{odd: canary.Bytes, filepath.Join(dir, "right.yaml"): rightYAML, filepath.Join(dir, "keys.txt"): rightKey, filepath.Join(dir, "contexts.yaml"): oddContexts()} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(odd+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(odd+".d", "sagas.db"), []byte(canary.Bytes), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AMENDS_CONTEXTS", filepath.Join(dir, "contexts.yaml"))
	t.Setenv("AMENDS_SERVER", server)
	t.Setenv("AMENDS_OUTPUT", output)
	t.Setenv("AMENDS_BY", name)
	t.Chdir(dir)
	var args []string
	for word := range strings.FieldsSeq(line) {
		args = append(args, strings.NewReplacer("NAME", name, "FILE", odd, "DIR", odd+".d", "SERVER", server).Replace(word))
	}
	s.Forget()
	var out, errs bytes.Buffer
	Run(t.Context(), args, strings.NewReader(""), &out, &errs)
	all := out.String() + errs.String()
	for i, r := range all {
		if r == '\t' && slices.Contains(silent, command) {
			continue // the command's own line
		}
		if canary.Obeyed(r) || r == utf8.RuneError && !utf8.ValidString(all) {
			t.Fatalf("coordinator %s (%s) prints control character %U: …%q…", line, output, r, all[max(0, i-60):min(len(all), i+20)])
		}
	}
	if canary.Forged(out.String()) || canary.Forged(errs.String()) {
		t.Errorf("coordinator %s (%s): text of others stands on a line of its own:\n%s", line, output, all)
	}
	if output == "json" && !s.Fails {
		same(t, s, line, out.Bytes(), errs.String())
	}
	return all
}

// printed maps the commands that print an answer of the API as JSON to that answer.
var printed = map[string]func(s *canary.Coordinator) proto.Message{
	"list": func(s *canary.Coordinator) proto.Message {
		return &apiv1.ListResponse{Sagas: append(s.Sent("List").(*apiv1.ListResponse).GetSagas(), s.Sent("List").(*apiv1.ListResponse).GetSagas()...)}
	},
	"list --count": func(s *canary.Coordinator) proto.Message { return s.Sent("Count") },
	"show NAME":    func(s *canary.Coordinator) proto.Message { return s.Sent("Get").(*apiv1.GetResponse).GetSaga() },
	"watch":        func(s *canary.Coordinator) proto.Message { return s.Sent("Watch") },
	"retry NAME --reason x": func(s *canary.Coordinator) proto.Message {
		return s.Sent("Operate").(*apiv1.OperateResponse).GetSaga()
	},
	"definition list":       func(s *canary.Coordinator) proto.Message { return s.Sent("ListDefinitions") },
	"dead-letters list":     func(s *canary.Coordinator) proto.Message { return s.Sent("ListDeadLetters") },
	"dead-letters replay 1": func(s *canary.Coordinator) proto.Message { return s.Sent("ReplayDeadLetters") },
}

// same checks that the printed JSON equals the answer of the API.
func same(t *testing.T, s *canary.Coordinator, line string, out []byte, said string) {
	t.Helper()
	of := printed[line]
	if of == nil {
		return
	}
	var got any
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&got); err != nil {
		t.Errorf("coordinator %s: %v in %q: %s", line, err, out, said)
		return
	}
	want, err := asJSON(of(s))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || !strings.Contains(fmt.Sprint(got), canary.Text) {
		t.Errorf("coordinator %s: programs read\n%q\ninstead of\n%q", line, got, want)
	}
}

// asJSON returns a message as the API writes it, decoded.
func asJSON(m proto.Message) (v any, err error) {
	data, err := apipb.EncodeJSON(m)
	if err != nil {
		return nil, err
	}
	return v, json.Unmarshal(data, &v)
}

// oddContexts returns a contexts file in which names are canaries.
func oddContexts() string {
	data, err := yaml.Marshal(contexts{Contexts: map[string]*namedPlace{
		"odd": {Server: "http://127.0.0.1:1"}, canary.Text: {Server: canary.Text, TokenFile: canary.Text, CA: canary.Text},
	}})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// TestDrawnPicture checks that text in the display that watch redraws is escaped too.
func TestDrawnPicture(t *testing.T) {
	s := &canary.Coordinator{Yes: true}
	one := &apiv1.Saga{}
	s.Fill(one.ProtoReflect())
	for _, id := range []string{"", one.GetId()} {
		var out bytes.Buffer
		w := &watch{env: &environment{stdout: terminal.New(&out)}, command: &watchCmd{ID: id}, sagas: map[string]*apiv1.Saga{one.GetId(): one}, screen: true}
		w.draw()
		picture, ours := strings.CutPrefix(out.String(), "\x1b[H\x1b[2J")
		if i := strings.IndexFunc(picture, canary.Obeyed); i >= 0 || !ours || canary.Forged(picture) || !strings.Contains(picture, "canary") {
			t.Errorf("watch %.6s draws a control character at %d: %q", id, i, out.String())
		}
	}
}

// TestNothingIsCut checks that output that does not go to a terminal is complete. Every string of
// an answer is printed with its end as often as with its beginning.
func TestNothingIsCut(t *testing.T) {
	const begin, end = "BEGIN", "END"
	s := &canary.Coordinator{Yes: true, Source: rightJSON, Key: rightKey, Text: begin + strings.Repeat(" a long reason", 500) + end}
	server := httptest.NewServer(s)
	defer server.Close()
	asks := []string{"list", "show", "wait", "watch", "history", "retry", "cancel", "definition list", "definition show", "definition diff", "dead-letters list", "dead-letters show", "dead-letters replay", "dead-letters discard", "orphans", "export", "doctor", "healthcheck"}
	whole := map[string]bool{}
	for _, command := range asks {
		for _, line := range spoken[command] {
			s.Forget()
			dir := t.TempDir()
			var out, errs bytes.Buffer
			t.Setenv("AMENDS_CONTEXTS", filepath.Join(dir, "contexts.yaml"))
			t.Setenv("AMENDS_SERVER", server.URL)
			t.Setenv("AMENDS_BY", "kim")
			t.Chdir(dir)
			for path, data := range map[string]string{"right.yaml": rightYAML, "keys.txt": rightKey} {
				if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			line := strings.NewReplacer("NAME", "name", "FILE", "right.yaml", "DIR", dir, "SERVER", server.URL).Replace(line)
			Run(t.Context(), strings.Fields(line), strings.NewReader(""), &out, &errs)
			all := out.String() + errs.String()
			if begun, ended := strings.Count(all, begin), strings.Count(all, end); begun != ended {
				t.Errorf("coordinator %s prints %d beginnings of strings and %d ends", line, begun, ended)
			} else if begun > 0 {
				whole[command] = true
			}
		}
	}
	for _, command := range []string{"list", "show", "wait", "watch", "history", "dead-letters list", "dead-letters show", "retry", "orphans"} {
		if !whole[command] {
			t.Errorf("coordinator %s printed nothing of the answer: the test checks nothing", command)
		}
	}
}
