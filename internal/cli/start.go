package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type startCmd struct {
	callFlags
	Definition string        `arg:"" help:"The definition, as name (newest version) or name/version."`
	ID         string        `placeholder:"ID" help:"The saga's id, which is also the idempotency key of the start. Default: a new UUIDv7."`
	Input      string        `default:"{}" help:"The input: JSON, a file, or - for stdin."`
	Wait       bool          `help:"Wait until the saga has ended or is parked. Exit code 5: compensated, 6: parked."`
	For        time.Duration `placeholder:"DURATION" default:"1h" help:"Maximum time for --wait; 0 for no limit. Default: ${default}."`
}

// Help gives examples.
func (startCmd) Help() string {
	return `The saga is on disk when the command returns. Repeating a start with the same id and input returns
the existing saga, so a start without an answer can be repeated safely.

Examples:
  coordinator start checkout --id order-42 --input order.json
  coordinator start checkout/3 --id order-43 --input '{"total": 4200}' --wait
  jq -c . order.json | coordinator start checkout --input -`
}

// Run starts a saga.
func (c *startCmd) Run(env *environment) error {
	ref, err := parseRef(c.Definition)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	input, err := readInput(c.Input, env.stdin)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	if c.ID == "" { // generated here, so that the hint for a failed start can name it
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		c.ID = id.String()
	}
	if c.Wait {
		return c.run(env, ref, string(input))
	}
	var reply *apiv1.StartResponse
	err = c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.Start(ctx, connect.NewRequest(&apiv1.StartRequest{Id: c.ID, Definition: ref, Input: string(input)}))
		if err == nil {
			reply = r.Msg
		}
		return err
	})
	if err != nil {
		return c.unsure(err)
	}
	return c.print(env.stdout, reply, func(w *terminal.Stream) {
		existed := ""
		if reply.GetSaga().GetExisted() {
			existed = " (already started, with the same input)"
		}
		w.Printf("%s %s%s\n", reply.GetSaga().GetId(), reply.GetSaga().GetPhase(), existed)
	})
}

// unsure adds the hint for a start that may have succeeded.
func (c *startCmd) unsure(err error) error {
	return unsure(err, fmt.Sprintf("the saga may have been started; repeat the command with --id %s, which does not start it twice", c.ID))
}

// run starts the saga and waits until it is at rest. Most sagas are at rest when the first request
// returns.
func (c *startCmd) run(env *environment, ref *apiv1.DefinitionRef, input string) error {
	began, hold := time.Now(), firstPoll
	if c.For > 0 {
		hold = min(hold, c.For)
	}
	var s *apiv1.Saga
	err := c.call(env, hold+c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.Run(ctx, connect.NewRequest(&apiv1.RunRequest{Id: c.ID, Definition: ref, Input: input, Timeout: durationpb.New(hold)}))
		if err == nil {
			s = r.Msg.GetSaga()
		}
		return err
	})
	switch {
	case err != nil:
		return c.unsure(err)
	case atRest(s):
		return c.finish(env, s)
	case c.For > 0:
		return c.wait(env, c.ID, max(c.For-time.Since(began), time.Millisecond))
	}
	return c.wait(env, c.ID, 0)
}

// parseRef parses "checkout" or "checkout/3".
func parseRef(s string) (*apiv1.DefinitionRef, error) {
	name, version, given := strings.Cut(s, "/")
	ref := &apiv1.DefinitionRef{Name: name}
	if given {
		n, ok := contract.ParseNumber(version, 1)
		if !ok {
			return ref, fmt.Errorf("definition %q: the version must be a number of at least 1; write name or name/version, such as checkout or checkout/3", s)
		}
		ref.Version = int64(n)
	}
	return ref, contract.CheckName("definition", name)
}

// readInput returns s itself if it is JSON. Otherwise it returns the content of the file s, or of
// stdin if s is "-".
func readInput(s string, stdin io.Reader) ([]byte, error) {
	data := []byte(s)
	switch trimmed := strings.TrimSpace(s); {
	case s == "-":
		all, err := io.ReadAll(io.LimitReader(stdin, maxInput+1))
		if err != nil {
			return nil, fmt.Errorf("read the input from stdin: %w", err)
		}
		data = all
	case trimmed != "" && !json.Valid([]byte(trimmed)) && !strings.ContainsAny(trimmed[:1], `{["`):
		info, err := os.Stat(s)
		if err != nil {
			return nil, fmt.Errorf("--input is neither JSON nor a file: %w", err)
		}
		if info.Size() > maxInput {
			return nil, fmt.Errorf("--input: %s has %s, at most %d are allowed", s, plural.Of(info.Size(), "byte", "bytes"), maxInput)
		}
		if data, err = os.ReadFile(s); err != nil {
			return nil, fmt.Errorf("read the input: %w", err)
		}
	}
	if len(data) > maxInput {
		return nil, fmt.Errorf("the input is too long: at most %d bytes are allowed", maxInput)
	}
	if err := contract.CheckJSON(data); err != nil {
		return nil, fmt.Errorf("the input is not valid JSON: %w", err)
	}
	return data, nil
}

// maxInput is the maximum size, in bytes, of an input to read. The coordinator's limit
// (contract.MaxPayload) is lower and has a better error message.
const maxInput = 16 << 20
