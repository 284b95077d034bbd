package setting

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// testFlags has a flag for every type of value that "serve" has.
type testFlags struct {
	Config    string        `env:"AMENDS_CONFIG" type:"path"`
	HTTP      string        `name:"http" env:"AMENDS_HTTP" default:"127.0.0.1:8080"`
	DataDir   string        `env:"AMENDS_DATA_DIR" type:"path" default:"data"`
	NATSURL   string        `name:"nats-url" env:"AMENDS_NATS_URL,NATS_URL"`
	Password  string        `name:"nats-password" env:"AMENDS_NATS_PASSWORD" secret:""`
	Token     string        `name:"nats-token" env:"AMENDS_NATS_TOKEN" secret:""`
	Key       int           `env:"AMENDS_KEY" secret:"" default:"0"` // a secret whose value can have the wrong type
	Pprof     bool          `env:"AMENDS_PPROF"`
	API       string        `name:"api" env:"AMENDS_API" enum:"local,off,insecure" default:"local"`
	Shards    int           `env:"AMENDS_SHARDS" default:"1"`
	Retention time.Duration `env:"AMENDS_RETENTION" default:"720h"`
}

// parsing is a parser that is built once and used for many sources.
type parsing struct {
	*Source
	parser *kong.Kong
}

func newParsing(tb testing.TB) *parsing {
	tb.Helper()
	var p parsing
	parser, err := kong.New(&testFlags{}, kong.NoDefaultHelp(), kong.Resolvers(&p), kong.Writers(io.Discard, io.Discard),
		kong.Exit(func(code int) { panic(fmt.Sprintf("exit code %d", code)) }))
	if err != nil {
		tb.Fatal(err)
	}
	p.parser = parser
	return &p
}

// parse parses data as the config file, with the given environment variables.
func (p *parsing) parse(data []byte, variables map[string]string) error {
	p.Source = New(
		func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
		func(string) ([]byte, error) { return data, nil })
	_, err := p.parser.Parse([]string{"--config", "/etc/amends.yaml"})
	return err
}

// FuzzConfigFile checks arbitrary config files (I9). Every flag gets a value, which is the default
// if there is a problem. The parser never panics and never shows a secret.
func FuzzConfigFile(f *testing.F) {
	f.Add([]byte("http: 127.0.0.1:8080\nshards: 8\n"), "swordfish")
	f.Add([]byte("shards: many\nretention: 3 weeks\nhtpp: x\n"), "swordfish")
	f.Add([]byte("a: &a [*a]\n"), "swordfish")
	f.Add([]byte("? [x]\n: y\n"), "swordfish")
	f.Add([]byte("nats-url: nats://ada:swordfish@localhost\n"), "swordfish")
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n"), "swordfish")
	f.Add([]byte("pprof: true\napi: off\nkey: 7\nshards: 1.5\ndata-dir: ~/x\n"), "7")
	p := newParsing(f)
	f.Fuzz(func(t *testing.T, data []byte, secret string) {
		canary := "canary-" + secret
		if !strings.Contains(canary, "\x00") { // environment variables cannot contain zero bytes
			t.Setenv("AMENDS_KEY", canary) // the parser reads this variable itself
		}
		err := p.parse(data, map[string]string{"AMENDS_NATS_PASSWORD": canary, "AMENDS_KEY": canary})
		if err != nil {
			t.Fatalf("the parser stops at the first mistake: %v", err)
		}
		var said strings.Builder
		for _, flag := range p.parser.Model.Flags {
			from := p.Of(flag.Name)
			fmt.Fprintln(&said, flag.Name, Shown(flag), from)
			if strings.HasPrefix(from, "default") && !isDefault(flag) {
				t.Errorf("--%s is %v, from %s", flag.Name, flag.Target, from)
			}
		}
		if p.Problem() == nil { // there must be a problem, because AMENDS_KEY is not a number
			t.Error("an invalid variable is not reported")
		}
		fmt.Fprintln(&said, p.Problem())
		if strings.Contains(said.String(), canary) && !bytes.Contains(data, []byte("canary")) {
			t.Errorf("the password is shown: %s", said.String())
		}
	})
}

// isDefault reports whether a flag has its default value.
func isDefault(flag *kong.Flag) bool {
	switch v := flag.Target.Interface().(type) {
	case time.Duration:
		return v.String() == "720h0m0s"
	case bool:
		return !v
	case int:
		return fmt.Sprint(v) == flag.Default
	case string:
		return strings.HasSuffix(v, flag.Default)
	}
	return false
}
