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

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type startCmd struct {
	callFlags
	Definition string        `arg:"" help:"Name of the definition; name/version for a certain version."`
	ID         string        `placeholder:"ID" help:"The saga's id, and your idempotency key. Without it a UUIDv7 is made."`
	Input      string        `default:"{}" help:"The input: JSON, or a file, or - for stdin."`
	Wait       bool          `help:"Wait until the saga has ended or is parked. Exit code 5: compensated, 6: parked."`
	For        time.Duration `placeholder:"DURATION" default:"1h" help:"With --wait: how long at most. Default: ${default}; 0: as long as it takes."`
}

// Help gives examples.
func (startCmd) Help() string {
	return `What was answered is on disk. The same id again with the same input answers the saga that
exists, so that a start that got no answer can be repeated.

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
	if c.ID == "" { // here, so that a start that got no answer can be repeated
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		c.ID = id.String()
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
		return unsure(err, fmt.Sprintf("the saga may have been started; ask again with --id %s, it will not start twice", c.ID))
	}
	if c.Wait {
		return c.wait(env, c.ID, c.For)
	}
	return c.print(env.stdout, reply, func(w *terminal.Stream) {
		existed := ""
		if reply.GetExisted() {
			existed = " (was started before, with the same input)"
		}
		w.Printf("%s %s%s\n", reply.GetSaga().GetId(), reply.GetSaga().GetPhase(), existed)
	})
}

// parseRef reads "checkout" or "checkout/3".
func parseRef(s string) (*apiv1.DefinitionRef, error) {
	name, version, given := strings.Cut(s, "/")
	ref := &apiv1.DefinitionRef{Name: name}
	if given {
		n, ok := contract.ParseNumber(version, 1)
		if !ok {
			return ref, fmt.Errorf("definition %q: write the name, or name/version with a version from 1, such as checkout/3", s)
		}
		ref.Version = int64(n)
	}
	return ref, contract.CheckName("definition", name)
}

// readInput reads a saga's input: JSON as it is, the name of a file, or - for
// stdin.
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
			return nil, fmt.Errorf("--input: %s has %s; at most %d are read", s, plural.Of(info.Size(), "byte", "bytes"), maxInput)
		}
		if data, err = os.ReadFile(s); err != nil {
			return nil, fmt.Errorf("read the input: %w", err)
		}
	}
	if len(data) > maxInput {
		return nil, fmt.Errorf("the input has more than %d bytes", maxInput)
	}
	if err := contract.CheckJSON(data); err != nil {
		return nil, fmt.Errorf("the input is not valid JSON: %w", err)
	}
	return data, nil
}

// maxInput bounds what is read as a saga's input; the coordinator's own limit
// (contract.MaxPayload) is lower and gives the better message.
const maxInput = 16 << 20
