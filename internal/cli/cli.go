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

	"github.com/amends-dev/amends/coordinator"
	"github.com/amends-dev/amends/internal/masked"
	"github.com/amends-dev/amends/internal/setting"
	"github.com/amends-dev/amends/internal/terminal"
)

// root is the grammar of the command line.
type root struct {
	Serve serveCmd `cmd:"" help:"Run a coordinator, with an embedded NATS server unless --nats-url is given."`

	Start   startCmd   `cmd:"" group:"Sagas" help:"Start a saga; the same id again answers the saga that exists."`
	List    listCmd    `cmd:"" group:"Sagas" help:"List sagas, newest first."`
	Show    showCmd    `cmd:"" group:"Sagas" help:"Show where a saga stands, and what may be done about it."`
	Wait    waitCmd    `cmd:"" group:"Sagas" help:"Wait until a saga has ended or is parked. Exit code 5: compensated, 6: parked."`
	Watch   watchCmd   `cmd:"" group:"Sagas" help:"See sagas move, one or all that match."`
	History historyCmd `cmd:"" group:"Sagas" help:"Show the recorded events of a saga."`

	Cancel     cancelCmd     `cmd:"" group:"Operator" help:"Make a saga go back, while there is a way back."`
	Retry      retryCmd      `cmd:"" group:"Operator" help:"Attempt a waiting or parked step now, with its full number of attempts again."`
	Resolve    resolveCmd    `cmd:"" group:"Operator" help:"Say how a step was resolved outside."`
	Skip       skipCmd       `cmd:"" group:"Operator" help:"Go on without a step."`
	Compensate compensateCmd `cmd:"" group:"Operator" help:"Go back from a parked pivot, vouching that it did not happen."`
	Abandon    abandonCmd    `cmd:"" group:"Operator" help:"End a parked saga as it is."`
	Pause      pauseCmd      `cmd:"" group:"Operator" help:"Hold a saga: nothing new is sent, and its timers stand still."`
	Resume     resumeCmd     `cmd:"" group:"Operator" help:"Let a paused saga go on, with as much time left as it had."`

	RemoveDamaged removeDamagedCmd `cmd:"" group:"Operator" name:"remove-damaged" help:"Put a tombstone in the place of a saga whose record is damaged."`

	Definition  definitionCmd `cmd:"" group:"Definitions" help:"Check, register and list definitions."`
	DeadLetters deadCmd       `cmd:"" group:"Running it" name:"dead-letters" help:"What came in and could not be understood."`
	Key         keyCmd        `cmd:"" group:"Running it" help:"Make keys that seal what is stored."`
	Store       storeCmd      `cmd:"" group:"Running it" help:"Copy a store, to seal it or to change its keys."`
	Token       tokenCmd      `cmd:"" group:"Running it" help:"Make tokens for whoever uses the API."`
	Doctor      doctorCmd     `cmd:"" group:"Running it" help:"Examine a running deployment, and say what to do about each finding."`
	Permissions grantCmd      `cmd:"" group:"Running it" name:"nats-permissions" help:"Print what users of the NATS server have to be allowed, for its configuration or serve --nats-users."`
	Config      configCmd     `cmd:"" group:"Running it" help:"Look at the configuration."`
	Context     contextCmd    `cmd:"" group:"Running it" help:"Remember coordinators by name."`
	Export      exportCmd     `cmd:"" group:"Running it" help:"Write the sagas that have ended, with their histories, as JSON lines."`
	Backup      backupCmd     `cmd:"" group:"Running it" help:"Write a consistent copy of the store, of a running coordinator or of a data directory."`
	Restore     restoreCmd    `cmd:"" group:"Running it" help:"Make a data directory from a backup; the coordinator must not run."`
	Orphans     orphansCmd    `cmd:"" group:"Running it" help:"After a restore: find what participants did for sagas that the store does not know. Exit code 1: there is some."`
	Verify      verifyCmd     `cmd:"" group:"Running it" help:"Check every record of a backup, or of a store."`
	Healthcheck healthCmd     `cmd:"" group:"Running it" help:"Exit 0 when the coordinator takes work: for containers without a shell."`
	Bench       benchCmds     `cmd:"" group:"Running it" help:"Measure the whole system on this machine: sagas per second, latency, CPU, fsyncs."`
	Simulate    simulateCmd   `cmd:"" group:"Running it" help:"Run sagas under every fault from a seed, in virtual time, and check the invariants."`
	Completion  completionCmd `cmd:"" group:"Running it" help:"Print a script that completes commands in your shell."`
	Complete    completeCmd   `cmd:"" hidden:""`
	Version     versionCmd    `cmd:"" group:"Running it" help:"Say what this is."`
}

// environment is what a command may use of the world.
type environment struct {
	ctx    context.Context
	stdin  io.Reader
	stdout *terminal.Stream
	stderr *terminal.Stream
	source *setting.Source // where the values of the flags came from
	model  *kong.Kong      // the grammar
	parsed *kong.Context
}

// exited is how the parser's own exit (after --help) reaches Main.
type exited int

// Main runs the command line args (without the program's name) and returns its
// exit code. The first interrupt or SIGTERM ends the command in order, the
// second one ends the process at once.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetOutput(masked.Writer(terminal.New(stderr).Lines())) // what libraries say of what others sent
	context.AfterFunc(ctx, stop)                               // from now on a signal does what it does to any process
	return Run(ctx, args, stdin, stdout, stderr)
}

// Run is Main for a caller that handles signals.
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
			"4 no coordinator answered, 5 the saga went back, 6 the saga is parked, 7 the prefix belongs to another store."),
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
		panic(fmt.Sprintf("cli: the grammar is wrong: %v", err)) // a mistake in this package, found by any test
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
		err = &exitError{code: ExitFailed, err: fmt.Errorf("write the output: %w", env.stdout.Err()), hint: "what is there of it is not whole: write it elsewhere, or make room and ask again"}
	}
	return env.report(err)
}

// checkWords refuses arguments and settings that are not UTF-8: the parser would change them.
func checkWords(args, environ []string) error {
	wrong := func(what string) error {
		return &exitError{code: ExitUsage, err: fmt.Errorf("%s is not UTF-8", what), hint: "write it in UTF-8; what locale says is how this terminal writes"}
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

// usage turns a parser's error into one that says how the command is used.
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

// settable are the variables of the flags that a command line misses.
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

// report prints an error and what to do next, and returns the exit code. An error may
// have several lines; those behind the first are set back, so that whoever is quoted in
// it cannot write lines that look like others. Passwords of URLs are not shown.
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
