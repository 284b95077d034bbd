package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// program is the grammar of the command line.
type program struct {
	Demo        demoCmd    `cmd:"" default:"withargs" help:"Run everything in this process (default)."`
	Service     serviceCmd `cmd:"" help:"Run one of the four services, or all."`
	Load        loadCmd    `cmd:"" help:"Place orders and follow them to their end."`
	Audit       auditCmd   `cmd:"" help:"Compare the books of the services with each other. Exit code 1: they do not balance."`
	Healthcheck healthCmd  `cmd:"" help:"Exit 0 when a service takes commands: for containers without a shell."`
}

// terminal holds the output stream of a command.
type terminal struct {
	out io.Writer
}

// errBooks means that the audit has found violations and printed them.
var errBooks = errors.New("the books do not balance")

// usageError is an error in the command line or the orders file.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// exited carries the exit code of the parser (after --help) to run.
type exited int

// run runs a command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	parser, err := kong.New(&program{},
		kong.Name("order-checkout"),
		kong.Description("A checkout over four services that succeeds, fails and is taken back.\n\n"+
			"Without a command everything runs in this process; --once, --orders, --seed, --file, --data and --nats-url are explained by: order-checkout demo --help"),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&terminal{stdout}),
	)
	if err != nil {
		panic(err) // an error in the grammar, which every test would find
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "order-checkout: %v\n  see: order-checkout --help\n", err)
		return 2
	}
	err = command.Run()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errBooks):
	default:
		fmt.Fprintf(stderr, "order-checkout: %v\n", err)
	}
	if _, usage := errors.AsType[usageError](err); usage {
		return 2
	}
	return 1
}
