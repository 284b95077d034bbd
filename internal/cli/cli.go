package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/masked"
	"github.com/amends-dev/amends/internal/setting"
	"github.com/amends-dev/amends/internal/terminal"
)

// root is the grammar of the command line.
type root struct {
	Serve serveCmd `cmd:"" help:"Run a coordinator, with an embedded NATS server unless --nats-url is given."`

	Start   startCmd   `cmd:"" group:"Sagas" help:"Start a saga. Repeating an id returns the existing saga."`
	List    listCmd    `cmd:"" group:"Sagas" help:"List sagas, newest first."`
	Show    showCmd    `cmd:"" group:"Sagas" help:"Show the state of a saga, and which operations are legal now."`
	Wait    waitCmd    `cmd:"" group:"Sagas" help:"Wait until a saga has ended or is parked. Exit code 5: compensated, 6: parked."`
	Watch   watchCmd   `cmd:"" group:"Sagas" help:"Follow one saga, or all that match, as they progress."`
	History historyCmd `cmd:"" group:"Sagas" help:"Show the recorded events of a saga."`

	Cancel     cancelCmd     `cmd:"" group:"Operator" help:"Cancel a saga: compensate what it did. Not possible past its pivot."`
	Retry      retryCmd      `cmd:"" group:"Operator" help:"Retry a waiting or parked step now, with all of its attempts available again."`
	Resolve    resolveCmd    `cmd:"" group:"Operator" help:"Record how a step was completed by hand."`
	Skip       skipCmd       `cmd:"" group:"Operator" help:"Go on without a step."`
	Compensate compensateCmd `cmd:"" group:"Operator" help:"Compensate a saga whose pivot is parked, after making sure that the pivot had no effect."`
	Abandon    abandonCmd    `cmd:"" group:"Operator" help:"End a parked saga as it is, without further steps or compensation."`
	Pause      pauseCmd      `cmd:"" group:"Operator" help:"Pause a saga: no new commands are sent, and its timers stop."`
	Resume     resumeCmd     `cmd:"" group:"Operator" help:"Resume a paused saga. Its timers continue with the time they had left."`

	RemoveDamaged removeDamagedCmd `cmd:"" group:"Operator" name:"remove-damaged" help:"Replace the damaged record of a saga by a tombstone."`

	Definition  definitionCmd `cmd:"" group:"Definitions" help:"Check, register and list definitions."`
	DeadLetters deadCmd       `cmd:"" group:"Running it" name:"dead-letters" help:"List, replay and discard messages that could not be processed."`
	Key         keyCmd        `cmd:"" group:"Running it" help:"Create keys that encrypt the store."`
	Log         logCmd        `cmd:"" group:"Running it" help:"Make a record of the store's log void if it keeps the store from opening."`
	Store       storeCmd      `cmd:"" group:"Running it" help:"Copy a store to encrypt it or to change its keys."`
	Token       tokenCmd      `cmd:"" group:"Running it" help:"Create access tokens for the API."`
	Doctor      doctorCmd     `cmd:"" group:"Running it" help:"Examine a running deployment, and suggest a fix for each finding."`
	Permissions grantCmd      `cmd:"" group:"Running it" name:"nats-permissions" help:"Print the permissions that users of the NATS server need, for its configuration or for serve --nats-users."`
	Config      configCmd     `cmd:"" group:"Running it" help:"Check the configuration."`
	Context     contextCmd    `cmd:"" group:"Running it" help:"Manage named coordinators."`
	Export      exportCmd     `cmd:"" group:"Running it" help:"Write the sagas that have ended, with their histories, as JSON lines."`
	Backup      backupCmd     `cmd:"" group:"Running it" help:"Write a consistent backup of a running coordinator or of a data directory."`
	Restore     restoreCmd    `cmd:"" group:"Running it" help:"Restore a backup into a data directory that has no store."`
	Orphans     orphansCmd    `cmd:"" group:"Running it" help:"After a restore: find effects of participants that belong to no saga in the store. Exit code 1: some were found."`
	Verify      verifyCmd     `cmd:"" group:"Running it" help:"Check every record of a backup, or of a store."`
	Healthcheck healthCmd     `cmd:"" group:"Running it" help:"Exit 0 if the coordinator is ready: a health check for containers without a shell."`
	Bench       benchCmds     `cmd:"" group:"Running it" help:"Measure the whole system on this machine: sagas per second, latency, CPU, fsyncs."`
	Simulate    simulateCmd   `cmd:"" group:"Running it" help:"Run sagas under injected faults in virtual time, reproducibly from a seed, and check the invariants."`
	Completion  completionCmd `cmd:"" group:"Running it" help:"Print a script that completes commands in your shell."`
	Complete    completeCmd   `cmd:"" hidden:""`
	Version     versionCmd    `cmd:"" group:"Running it" help:"Print the version."`
}

// environment holds the inputs, outputs and configuration of a command.
type environment struct {
	ctx    context.Context
	stdin  io.Reader
	stdout *terminal.Stream
	stderr *terminal.Stream
	source *setting.Source // the source of each flag's value
	model  *kong.Kong      // the grammar
	parsed *kong.Context
}

// exited is a panic value: the exit code of a parser that ends the command itself, as after --help.
type exited int

// Main runs the command line args, without the program's name, and returns its exit code. The first
// interrupt or SIGTERM shuts the command down gracefully; the second ends the process at once.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetOutput(masked.Writer(terminal.New(stderr).Lines())) // libraries may log secrets that they received
	context.AfterFunc(ctx, stop)                               // a second signal then has its default effect
	return Run(ctx, args, stdin, stdout, stderr)
}

// Run is like Main, for callers that handle signals themselves.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	env := &environment{ctx: ctx, stdin: stdin, stdout: terminal.New(stdout), stderr: terminal.New(stderr), source: setting.New(os.LookupEnv, os.ReadFile)}
	parser, err := kong.New(&root{}, append(decimals(),
		kong.Name("coordinator"),
		kong.Description("Amends carries a business transaction across services and makes amends when a step fails.\n\n"+
			"Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 the store is damaged or cannot be written, "+
			"4 no coordinator answered, 5 the saga was compensated, 6 the saga is parked, 7 the prefix belongs to another store."),
		kong.Writers(env.stdout.Lines(), env.stderr.Lines()),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, FlagsLast: true}),
		kong.Resolvers(env.source),
		kong.Vars{
			"shards":    fmt.Sprint(coordinator.DefaultShards()),
			"max_batch": fmt.Sprint(coordinator.DefaultMaxBatch),
			"max_open":  fmt.Sprint(coordinator.DefaultMaxOpen),
		},
		kong.Bind(env),
	)...)
	if err != nil {
		panic(fmt.Sprintf("cli: the grammar is wrong: %v", err)) // an error in this package, which any test finds
	}
	env.model = parser
	if err := checkWords(args, os.Environ()); err != nil {
		return env.report(err)
	}
	env.parsed, err = parser.Parse(arrange(parser, args))
	if err != nil {
		return env.report(usage(err))
	}
	if !strings.HasPrefix(env.parsed.Command(), "config") {
		if err := env.source.Problem(); err != nil {
			return env.report(&exitError{code: ExitUsage, err: err, hint: "coordinator config check shows every value and where it comes from"})
		}
	}
	err = env.parsed.Run()
	if _, said := errors.AsType[*exitError](err); env.stdout.Err() != nil && !said {
		err = &exitError{code: ExitFailed, err: fmt.Errorf("write the output: %w", env.stdout.Err()), hint: "the output is incomplete: make room on the disk or write the output elsewhere, and try again"}
	}
	return env.report(err)
}

// checkWords rejects arguments and settings that are not UTF-8, because the parser would alter
// them.
func checkWords(args, environ []string) error {
	wrong := func(what string) error {
		return &exitError{code: ExitUsage, err: fmt.Errorf("%s is not UTF-8", what), hint: "write it in UTF-8; see this terminal's encoding with: locale"}
	}
	for i, arg := range args {
		if !utf8.ValidString(arg) {
			return wrong(fmt.Sprintf("argument %d", i+1))
		}
	}
	for _, one := range environ {
		if name, value, _ := strings.Cut(one, "="); strings.HasPrefix(name, "AMENDS_") && !utf8.ValidString(value) {
			return wrong(name)
		}
	}
	return nil
}

// usage adds a hint about the use of the command to a parser's error.
func usage(err error) error {
	hint := "see: coordinator --help"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if command := parse.Context.Selected(); command != nil {
			hint = "see: coordinator " + command.Path() + " --help"
		}
		if names := settable(parse); len(names) > 0 {
			hint = "or set " + words(names) + " in the environment; " + hint
		}
	}
	return &exitError{code: ExitUsage, hint: strings.ReplaceAll(hint, "coordinator coordinator", "coordinator"), err: err}
}

// settable returns the environment variables that can replace the flags that are missing on a
// command line.
func settable(parse *kong.ParseError) (names []string) {
	missing, ok := strings.CutPrefix(parse.Error(), "missing flags: ")
	if !ok {
		return nil
	}
	for _, flag := range parse.Context.Flags() {
		if slices.Contains(strings.Split(missing, ", "), flag.Summary()) && len(flag.Envs) > 0 {
			names = append(names, flag.Envs[0]+" for --"+flag.Name)
		}
	}
	return names
}

// report prints an error and its hint, and returns the exit code. It indents all lines of an error
// except the first, so that quoted text cannot imitate other output. It masks passwords in URLs.
func (env *environment) report(err error) int {
	code, hint := exitOf(err)
	if err == nil || err.Error() == "" {
		return code
	}
	for i, line := range strings.Split(masked.Text(err.Error()), "\n") {
		if i == 0 {
			env.stderr.Printf("coordinator: %s\n", line)
		} else {
			env.stderr.Printf("    %s\n", line)
		}
	}
	if hint != "" {
		env.stderr.Printf("  %s\n", masked.Text(hint))
	}
	return code
}
