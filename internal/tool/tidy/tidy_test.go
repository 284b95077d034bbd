package tidy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the path of the repository from this package.
const root = "../../.."

var rules = map[string]Rule{
	"levels":           Levels,
	"outside":          Outside,
	"package comments": PackageComments,
	"exported names":   ExportedNames,
	"map":              OnTheMap,
	"sizes":            sizes.Check,
	"methods":          Methods,
	"purity":           Purity,
	"sleeps":           NoSleeps,
	"durations":        NoDurations,
	"multipart":        NoMultipart,
	"identifiers":      Identifiers,
	"prose":            Prose,
	"open ends":        OpenEnds,
	"leaks":            Leaks,
	"links":            Links,
	"snippets":         Snippets,
	"commands":         Commands,
	"invariants":       Cited,
	"numbers":          Numbers,
	"streams":          Streams,
	"counts":           Counts,
	"containers":       Containers,
	"reach":            Reach,
}

// sizes holds the limits of functions and files. Longer and Files may only shrink.
var sizes = Sizes{
	Function: 100,
	Usual:    60,
	Longer:   0,
	File:     500,
	Files:    map[string]string{},
}

// light lists what the SDK may bring into a service: the bus client, but nothing of the
// coordinator.
var light = []string{
	Module + "/api",
	Module + "/contract",
	Module + "/transport",
	Module + "/ownership", // standard library only
	Module + "/proto",
	Module + "/internal/crashpoint", // its functions are empty
	Module + "/internal/loglimit",   // standard library only
	Module + "/internal/masked",     // standard library only
	Module + "/internal/natsaccount",
	Module + "/internal/plural",  // standard library only
	Module + "/internal/pool",    // standard library only
	Module + "/internal/waiting", // standard library only
	"github.com/nats-io/nats.go",
	"github.com/nats-io/nkeys",
	"github.com/nats-io/nuid",
	"github.com/klauspost/compress",
	"github.com/google/uuid",
	"github.com/cenkalti/backoff/v5",
	"google.golang.org/protobuf",
	"golang.org/x/crypto",
	"golang.org/x/sys",
	"golang.org/x/text",
}

// heavy lists what the vocabulary packages must not depend on: servers, consoles and database
// drivers.
var heavy = []string{
	"github.com/nats-io/nats-server/v2",
	"github.com/ThreeDotsLabs/watermill",
	"github.com/jackc/pgx/v5",
	"github.com/go-sql-driver/mysql",
	"github.com/alecthomas/kong",
	"github.com/prometheus",
	"go.etcd.io/bbolt",
	"modernc.org/sqlite",
	Module + "/store",
	Module + "/coordinator",
}

// expressions lists CEL and its parser, which only packages that read definitions may compile.
var expressions = []string{"cel.dev", "github.com/google/cel-go", "github.com/antlr4-go/antlr"}

var closures = []Closure{
	{Package: "participant", Allowed: light},
	{Package: "client", Allowed: light},
	{Package: "transport/natsbus", Allowed: light},
	{Package: "contract", Allowed: []string{}},
	{Package: "compensation", Allowed: []string{}},
	{Package: "api", Allowed: []string{Module + "/contract"}},
	{Package: "saga/machine", Allowed: []string{Module + "/compensation", Module + "/contract"}},
	{Package: "saga", Denied: heavy},
	{Package: "outbox", Denied: expressions},
	{Package: "internal/sagapb", Denied: expressions},
	{Package: "store", Denied: expressions},
	{Package: "store/memstore", Denied: expressions},
	{Package: "store/boltstore", Denied: expressions},
}

func TestRepository(t *testing.T) {
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Go) == 0 {
		t.Fatal("found no Go file: is root right?")
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { report(t, rule(tree)) })
	}
}

func TestImportsOfPublicPackages(t *testing.T) {
	for _, c := range closures {
		t.Run(c.Package, func(t *testing.T) {
			if files, _ := filepath.Glob(filepath.Join(root, c.Package, "*.go")); len(files) == 0 {
				t.Fatalf("package %s is gone: take it off the list, or find where it went", c.Package)
			}
			imports, err := ImportsOf(t.Context(), root, c.Package)
			if err != nil {
				t.Fatal(err)
			}
			report(t, c.Check(imports))
		})
	}
}

func report(t *testing.T, found []Finding) {
	t.Helper()
	const most = 40
	for i, f := range found {
		if i == most {
			t.Errorf("… and %d more", len(found)-most)
			return
		}
		t.Error(f)
	}
}

// TestRulesCanFail runs every rule on a fixture that violates it and on one that does not.
func TestRulesCanFail(t *testing.T) {
	covered := map[string]bool{}
	for _, f := range fixtures {
		covered[f.rule] = true
		t.Run(f.rule+"/"+f.name, func(t *testing.T) {
			tree, err := Load(f.files)
			if err != nil {
				t.Fatal(err)
			}
			rule := rules[f.rule]
			if f.rule == "sizes" {
				rule = Sizes{Function: 5, Usual: 3, Longer: 1, File: 8, Files: map[string]string{"old/old.go": "grew there"}}.Check
			}
			if f.rule == "" || rule == nil {
				t.Fatalf("no rule is called %q", f.rule)
			}
			var all strings.Builder
			found := rule(tree)
			for _, one := range found {
				all.WriteString(one.String() + "\n")
				if one.Fix == "" {
					t.Errorf("%s: does not say how to fix it", one)
				}
			}
			if f.want == "" && len(found) > 0 {
				t.Errorf("want no finding, got:\n%s", &all)
			}
			if !strings.Contains(all.String(), f.want) {
				t.Errorf("want a finding that contains %q, got:\n%s", f.want, &all)
			}
		})
	}
	for name := range rules {
		if !covered[name] {
			t.Errorf("rule %q has no fixture that breaks it", name)
		}
	}
}

func TestClosureCanFail(t *testing.T) {
	imports := []string{Module + "/contract", "go.etcd.io/bbolt/errors"}
	if found := (Closure{Package: "client", Allowed: light}).Check(imports); len(found) != 1 {
		t.Errorf("an import that is not allowed: want 1 finding, got %v", found)
	}
	if found := (Closure{Package: "saga", Denied: heavy}).Check(imports); len(found) != 1 {
		t.Errorf("an import that is denied: want 1 finding, got %v", found)
	}
	if found := (Closure{Package: "contract", Allowed: []string{}}).Check(nil); len(found) != 0 {
		t.Errorf("no import: want no finding, got %v", found)
	}
}
