package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// callFlags are what every command that asks a coordinator takes.
type callFlags struct {
	natsFlags
	outputFlag
	Timeout time.Duration `default:"10s" env:"AMENDS_TIMEOUT" help:"How long to wait for the coordinator's answer."`
}

// call connects, gives the client to ask with a context that ends after the
// timeout (0: never), and disconnects.
func (f *callFlags) call(env *environment, timeout time.Duration, ask func(ctx context.Context, c *client.Client) error) error {
	ctx, cancel := context.WithCancel(env.ctx)
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(env.ctx, timeout)
	}
	defer cancel()
	bus, err := f.connect(ctx, "amends-cli")
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = bus.Close() }()
	return ask(ctx, client.New(bus, client.Prefix(f.Prefix), client.Timeout(min(f.Timeout, 5*time.Second))))
}

type startCmd struct {
	callFlags
	Definition string        `arg:"" help:"Name of the definition; name/version for a certain version."`
	ID         string        `placeholder:"ID" help:"The saga's id, and your idempotency key. Without it a UUIDv7 is made."`
	Input      string        `default:"{}" help:"The input: JSON, or a file, or - for stdin."`
	Wait       bool          `help:"Wait until the saga has ended or is parked. Exit code 5: compensated, 6: parked."`
	For        time.Duration `placeholder:"DURATION" default:"0" help:"With --wait: how long at most. 0: as long as it takes."`
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
	var options []client.StartOption
	if c.ID != "" {
		options = append(options, client.ID(contract.SagaID(c.ID)))
	}
	var status *transport.Status
	err = c.call(env, c.Timeout, func(ctx context.Context, cl *client.Client) error {
		status, err = cl.Start(ctx, ref, input, options...)
		return err
	})
	if err != nil {
		var e *client.Error
		if errors.As(err, &e) && errors.Is(err, client.ErrUnavailable) && e.ID != "" {
			return &exitError{code: ExitNotReachable, err: err, hint: fmt.Sprintf("the saga may have been started; ask again with --id %s, it will not start twice", e.ID)}
		}
		return err
	}
	if c.Wait {
		return c.wait(env, status.ID, c.For)
	}
	return c.print(env.stdout, status, func(w io.Writer) {
		existed := ""
		if status.Existed {
			existed = " (was started before, with the same input)"
		}
		_, _ = fmt.Fprintf(w, "%s %s%s\n", status.ID, status.Phase, existed)
	})
}

// wait waits for a saga, prints where it stands, and gives the exit code.
func (f *callFlags) wait(env *environment, id contract.SagaID, limit time.Duration) error {
	return f.call(env, limit, func(ctx context.Context, cl *client.Client) error {
		status, err := cl.Wait(ctx, id)
		if err != nil {
			return err
		}
		if err := f.print(env.stdout, status, func(w io.Writer) { printStatus(w, status) }); err != nil {
			return err
		}
		return outcome(status.Phase)
	})
}

// parseRef reads "checkout" or "checkout/3".
func parseRef(s string) (contract.DefinitionRef, error) {
	name, version, given := strings.Cut(s, "/")
	ref := contract.DefinitionRef{Name: name}
	if given {
		n, err := strconv.Atoi(version)
		if err != nil || n < 1 {
			return ref, fmt.Errorf("definition %q: write the name, or name/version with a version from 1, such as checkout/3", s)
		}
		ref.Version = n
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
			return nil, fmt.Errorf("--input: %s has %d bytes; at most %d are read", s, info.Size(), maxInput)
		}
		if data, err = os.ReadFile(s); err != nil {
			return nil, fmt.Errorf("read the input: %w", err)
		}
	}
	if len(data) > maxInput {
		return nil, fmt.Errorf("the input has more than %d bytes", maxInput)
	}
	if !json.Valid(data) {
		var v any
		return nil, fmt.Errorf("the input is not JSON: %w", json.Unmarshal(data, &v))
	}
	return data, nil
}

// maxInput bounds what is read as a saga's input; the coordinator's own limit
// (saga.MaxPayload) is lower and gives the better message.
const maxInput = 16 << 20
