package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"github.com/amends-dev/amends/internal/apipb"
	"github.com/amends-dev/amends/internal/cli"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// world is a coordinator with all its interfaces. The test acts as the participant.
type world struct {
	t     *testing.T
	nats  *nats.Conn
	http  string
	faces map[string]apiv1connect.CoordinatorServiceClient
}

func newWorld(t *testing.T) *world {
	def, err := saga.ParseJSON([]byte(`{"name":"echo","version":1,"steps":[
		{"step":{"name":"say","kind":"compensable","do":{"participant":"voice","action":"say","retry":{"attempts":1}},"undo":{"participant":"voice","action":"take-back"}}},
		{"step":{"name":"seal","kind":"pivot","do":{"participant":"voice","action":"seal","retry":{"attempts":1}}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(t.Context(), server.Config{
		DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Definitions: []*saga.Definition{def},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := s.Addresses()
	conn, err := nats.Connect(a.NATS, nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() {
		conn.Close()
		h2c.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &world{t, conn, a.HTTP, map[string]apiv1connect.CoordinatorServiceClient{
		"Connect JSON": apiv1connect.NewCoordinatorServiceClient(http.DefaultClient, a.HTTP, connect.WithCodec(inJSON{})),
		"gRPC":         apiv1connect.NewCoordinatorServiceClient(&http.Client{Transport: h2c}, a.HTTP, connect.WithGRPC()),
	}}
}

// inJSON is the JSON of the API for a Connect client.
type inJSON struct{}

func (inJSON) Name() string { return "json" }

func (inJSON) Marshal(message any) ([]byte, error) {
	m, _ := message.(proto.Message)
	return apipb.EncodeJSON(m)
}

func (inJSON) Unmarshal(data []byte, message any) error {
	m, _ := message.(proto.Message)
	return apipb.DecodeJSON(data, m)
}

// asks sends a request on the bus, and reads the reply without using the client library.
func (w *world) asks(t *rapid.T, method string, data []byte, header ...string) (reply map[string]json.RawMessage, refused string) {
	h := nats.Header{}
	for i := 0; i < len(header); i += 2 {
		h[header[i]] = []string{header[i+1]}
	}
	m, err := w.nats.RequestMsg(&nats.Msg{Subject: "saga.api." + method, Header: h, Data: data}, time.Minute)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	if code := m.Header["ce-code"]; len(code) > 0 {
		reason, _ := url.PathUnescape(strings.Join(m.Header["ce-reason"], ""))
		return nil, code[0] + ": " + reason
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		t.Fatalf("%s: %v: %.200s", method, err, m.Data)
	}
	return reply, ""
}

// command runs a command line.
func (w *world) command(t *rapid.T, stdin []byte, args ...string) (code int, stdout, stderr string) {
	var out, said strings.Builder
	code = cli.Run(context.Background(), append(args, "--server", w.http), bytes.NewReader(stdin), &out, &said)
	return code, out.String(), said.String()
}

// starts starts a saga through a random interface, and reports whether it was accepted.
func (w *world) starts(t *rapid.T, id string, d datum) (taken bool, why string) {
	entries := []string{"NATS", "Connect JSON", "gRPC"}
	if d.contentType == "" {
		entries = append(entries, "CLI")
	}
	entry := rapid.SampledFrom(entries).Draw(t, "entry")
	switch entry {
	case "NATS":
		header := []string{"ce-sagaid", id, "ce-definition", "echo"}
		if d.contentType != "" {
			header = append(header, "ce-datacontenttype", url.PathEscape(d.contentType))
		}
		_, why = w.asks(t, "start", d.bytes, header...)
		return why == "", why
	case "CLI":
		code, _, said := w.command(t, d.bytes, "start", "echo", "--id", id, "--input", "-")
		return code == cli.ExitOK, said
	}
	_, err := w.faces[entry].Start(context.Background(), connect.NewRequest(&apiv1.StartRequest{Id: id, Definition: &apiv1.DefinitionRef{Name: "echo"}, InputBinary: d.bytes, ContentType: d.contentType}))
	return err == nil, fmt.Sprint(err)
}

// answers publishes an answer of a participant, as raw bytes.
func (w *world) answers(t *rapid.T, id, birth, step, direction, how string, data []byte, header ...string) {
	h := nats.Header{"ce-type": {how}}
	for i := 0; i < len(header); i += 2 {
		h[header[i]] = []string{header[i+1]}
	}
	if _, err := w.nats.RequestMsg(&nats.Msg{Subject: "saga.event.voice." + id + "." + birth + "." + step + "." + direction + ".1", Header: h, Data: data}, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// asksFor sends a request whose response has a saga, and returns the saga as JSON.
func (w *world) asksFor(t *rapid.T, method, data string) (one json.RawMessage, refused string) {
	reply, refused := w.asks(t, method, []byte(data))
	return reply["saga"], refused
}

// resolves parks the pivot and resolves it through a random interface. Every interface must show
// the result unchanged.
func (w *world) resolves(t *rapid.T, id, birth string) {
	w.answers(t, id, birth, "seal", "do", transport.TypeCompleted, []byte("{"))
	w.until(t, id, 5)
	d := drawData(t, 256<<10)
	for !d.json() {
		d = datum{[]byte(" {\"a\" : [ \"<\" ] }\n"), "", true}
	}
	kept := string(d.bytes)
	var said string
	entry := rapid.SampledFrom([]string{"NATS", "Connect JSON", "gRPC", "CLI"}).Draw(t, "the resolving entry")
	switch entry {
	case "NATS":
		kept = strings.Trim(kept, " \t\r\n")
		data := slices.Concat([]byte(`{"id":"`+id+`","decision":{"operation":"resolve","step":"seal","outcome":"completed","by":"kim","reason":"x","result":`), d.bytes, []byte("}}"))
		_, said = w.asks(t, "operate", data)
	case "CLI":
		if code, _, stderr := w.command(t, d.bytes, "resolve", id, "--step", "seal", "--outcome", "completed", "--result", "-", "--by", "kim", "--reason", "x"); code != cli.ExitOK {
			said = stderr
		}
	default:
		if !utf8.Valid(d.bytes) {
			return
		}
		if entry == "Connect JSON" && json.Valid(d.bytes) {
			kept = compact(kept)
		}
		if _, err := w.faces[entry].Operate(context.Background(), connect.NewRequest(&apiv1.OperateRequest{Id: id, Decision: &apiv1.Decision{Operation: "resolve", Step: "seal", Outcome: "completed", By: "kim", Reason: "x", Result: kept}})); err != nil {
			said = err.Error()
		}
	}
	if (said == "") != d.valid {
		t.Fatalf("%s: the answer to result %.200q is %.300q", entry, d.bytes, said)
	}
	if !d.valid {
		return
	}
	for name, face := range w.faces {
		got, err := face.Get(context.Background(), connect.NewRequest(&apiv1.GetRequest{Id: id}))
		if err != nil {
			t.Fatal(err)
		}
		result := got.Msg.GetSaga().GetSteps()[1].GetResult()
		if result.GetLeftOut() { // too large for the response; the history holds it
			history, err := face.History(context.Background(), connect.NewRequest(&apiv1.HistoryRequest{Id: id, FromRevision: 6}))
			if err != nil {
				t.Fatal(err)
			}
			result = history.Msg.GetEvents()[0].GetPayload()
		}
		form := exact
		if name == "Connect JSON" {
			form = compact
		}
		if result.GetJson() != form(kept) {
			t.Fatalf("%s shows %.200q, sent through %s as %.200q", name, result.GetJson(), entry, kept)
		}
	}
}

// until waits until a saga has reached a revision.
func (w *world) until(t *rapid.T, id string, revision uint64) {
	stream, err := w.faces["Connect JSON"].Watch(context.Background(), connect.NewRequest(&apiv1.WatchRequest{Id: id}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if stream.Msg().GetSaga().GetRevision() >= revision {
			return
		}
	}
	t.Fatal(stream.Err())
}

// pauses pauses a saga, and checks that the answer reports the pause.
func (w *world) pauses(t *rapid.T, id, by, reason string) {
	entry := rapid.SampledFrom([]string{"NATS", "Connect JSON", "gRPC", "CLI"}).Draw(t, "operator's entry")
	said := ""
	switch entry {
	case "NATS":
		var data bytes.Buffer
		if err := json.NewEncoder(&data).Encode(map[string]any{"id": id, "decision": map[string]string{"operation": "pause", "by": by, "reason": reason}}); err != nil {
			t.Fatal(err)
		}
		reply, refused := w.asksFor(t, "operate", data.String())
		said = refused + string(reply)
	case "CLI":
		code, out, stderr := w.command(t, nil, "pause", id, "--by", by, "--reason", reason)
		if said = stderr; code == 0 {
			said = out
		}
	default:
		answer, err := w.faces[entry].Operate(context.Background(), connect.NewRequest(&apiv1.OperateRequest{Id: id, Decision: &apiv1.Decision{Operation: "pause", By: by, Reason: reason}}))
		said = fmt.Sprint(err)
		if err == nil && answer.Msg.GetSaga().GetRevision() == 3 && answer.Msg.GetSaga().GetPaused().GetBy() == by {
			said = "since"
		}
	}
	if !strings.Contains(said, "since") && !strings.Contains(said, "paused") {
		t.Fatalf("%s: the answer to the decision is %.300q", entry, said)
	}
}
