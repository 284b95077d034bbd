package tidy

import (
	"fmt"
	"strings"
	"testing/fstest"
)

// fixture is a small repository and the finding that a rule reports for it. If want is "", the rule
// must report nothing.
type fixture struct {
	rule, name string
	files      fstest.MapFS
	want       string
}

// files returns a repository made from alternating paths and contents.
func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

func imports(paths ...string) string {
	var b strings.Builder
	b.WriteString("package p\n")
	for _, path := range paths {
		fmt.Fprintf(&b, "import _ %q\n", path)
	}
	return b.String()
}

func function(name string, lines int) string {
	return "func " + name + "() {\n" + strings.Repeat("\t_ = 0\n", lines-2) + "}\n"
}

// methods returns a package with a type that has a method in each of n files, with a value, pointer
// or generic receiver.
func methods(in string, n int) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := range n {
		of := []string{"T[K]", "*T[K]", "T[K, V]", "*T"}[i%4]
		fsys[fmt.Sprintf("%s/f%d.go", in, i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "package p\nfunc (t %s) F%d() {}\n", of, i)}
	}
	return fsys
}

var fixtures = []fixture{
	{"levels", "down", files("store/s.go", imports(Module+"/saga", "fmt")), ""},
	{"levels", "up", files("saga/s.go", imports(Module+"/store")), "saga (level 10) imports store (level 30)"},
	{"levels", "sideways", files("saga/s.go", imports(Module+"/transport")), "strictly downward"},
	{"levels", "test may look sideways", files("saga/s_test.go", imports(Module+"/store")), ""},
	{"levels", "program", files("internal/coordinator/c_test.go", imports(Module+"/cmd/coordinator")), "nobody imports a program"},
	{"levels", "unknown", files("util/u.go", "package util\n"), "util has no level"},
	{"levels", "unknown target", files("store/s.go", imports(Module+"/pkg/x")), "pkg/x, which has no level"},

	{"package comments", "there", files("saga/doc.go", "// Package saga is.\npackage saga\n"), ""},
	{"package comments", "missing", files("saga/s.go", "// Package saga is.\npackage saga\n"), "no doc.go"},
	{"package comments", "empty", files("saga/doc.go", "package saga\n"), "no doc.go"},

	{"exported names", "documented", files("p/p.go", "package p\n// A is.\ntype A int\n// B and C.\nconst (\n\tB = 1\n\tC = 2\n)\nfunc (A) String() string { return \"\" }\ntype d int\nfunc (d) E() {}\n"), ""},
	{"exported names", "type", files("p/p.go", "package p\ntype A int\n"), "exported A"},
	{"exported names", "method", files("p/p.go", "package p\n// A is.\ntype A[T any] int\nfunc (*A[T]) Do() {}\n"), "exported Do"},
	{"exported names", "constant", files("p/p.go", "package p\nconst (\n\tA = 1 // is one\n\tB = 2\n)\n"), "exported B"},
	{"exported names", "function", files("p/p.go", "package p\nfunc Do() {}\n"), "exported Do"},

	{"map", "named", files("saga/s.go", "package saga\n", Map, "| `saga` | the vocabulary |\n"), ""},
	{"map", "not named", files("saga/s.go", "package saga\n", Map, "saga\n"), "does not name package saga"},
	{"map", "part of an example", files("examples/a/b/c.go", "package b\n", Map, "| `examples/a` | an example |\n"), ""},
	{"map", "private part", files("saga/s.go", "package saga\n", "saga/internal/x/x.go", "package x\n", Map, "| `saga` | it |\n"), ""},
	{"map", "gone", files("saga/s.go", "package saga\n", Map, "| `saga` | there |\n| `old/one` | gone |\n"), "names package old/one"},
	{"map", "missing", files("saga/s.go", "package saga\n"), "is missing"},

	{"sizes", "within", files("a/a.go", "package a\n"+function("x", 4), "old/old.go", "package old\n"+strings.Repeat("\n", 9)), ""},
	{"sizes", "function", files("a/a.go", "package a\n"+function("x", 6)), "x is 6 lines long"},
	{"sizes", "ratchet", files("a/a.go", "package a\n"+function("x", 4), "b/b.go", "package b\n"+function("y", 4)), "1 functions may exceed 3 lines"},
	{"sizes", "gain", files("a/a.go", "package a\n"), "set Longer to 0"},
	{"sizes", "file", files("a/a.go", "package a\n"+strings.Repeat("\n", 9)), "more than one noun"},
	{"sizes", "stale exception", files("old/old.go", "package old\n"), "not needed any more"},
	{"sizes", "tests are free", files("a/a_test.go", "package a\n"+function("x", 40), "a/a.go", "package a\n"+function("y", 4), "old/old.go", "package old\n"+strings.Repeat("\n", 9)), ""},

	{"purity", "pure", files("saga/s.go", "package saga\nimport \"time\"\nfunc f(at time.Time) time.Time { return at.Add(time.Second) }\n"), ""},
	{"purity", "clock", files("saga/s.go", "package saga\nimport \"time\"\nvar _ = time.Now()\n"), "calls time.Now"},
	{"purity", "clock of a private part", files("saga/internal/mapping/m.go", "package mapping\nimport \"time\"\nvar _ = time.Now()\n"), "calls time.Now"},
	{"purity", "rng", files("compensation/c.go", imports("math/rand/v2")), "imports math/rand/v2"},
	{"purity", "goroutine", files("internal/coordinator/engine.go", "package coordinator\nfunc f() { go f() }\n"), "starts a goroutine"},
	{"purity", "timer", files("outbox/record.go", "package outbox\nimport \"time\"\nvar _ = time.After(1)\n"), "calls time.After"},
	{"purity", "shells are free", files("internal/coordinator/shard.go", "package coordinator\nimport \"time\"\nfunc f() { go f(); time.Now() }\n"), ""},

	{"sleeps", "polling", files("p/p_test.go", "package p\nimport \"time\"\nvar _ = time.Second\n"), ""},
	{"sleeps", "sleep", files("p/p_test.go", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"), "a test sleeps"},
	{"sleeps", "between two looks", files("p/p_test.go", "package p\nimport \"time\"\nfunc f() { for !g() { time.Sleep(1) } }\n"), ""},
	{"sleeps", "virtual", files("p/p_test.go", "package p\nimport (\n\t\"testing/synctest\"\n\t\"time\"\n)\nvar _ = synctest.Wait\nfunc f() { time.Sleep(1) }\n"), ""},

	{"durations", "measured", files("p/p_test.go", "package p\nimport \"time\"\nfunc f(t time.Time) bool { return time.Since(t) > time.Second }\n"), "how long something took"},
	{"durations", "virtual", files("p/p_test.go", "package p\nimport (\n\t\"testing/synctest\"\n\t\"time\"\n)\nvar _ = synctest.Wait\nvar _ = time.Since(time.Time{})\n"), ""},
	{"durations", "in a laboratory", files("p/p_test.go", "//go:build linux && lab\n\npackage p\nimport \"time\"\nvar _ = time.Since(time.Time{})\n"), ""},
	{"durations", "without the laboratories", files("p/p_test.go", "//go:build !lab\n\npackage p\nimport \"time\"\nvar _ = time.Since(time.Time{})\n"), "how long something took"},

	{"multipart", "query", files("p/p.go", "package p\nfunc f(r *http.Request) { _ = r.URL.Query(); _ = r.ParseForm(); _ = r.PostForm.Get(\"a\") }\n"), ""},
	{"multipart", "form value", files("p/p.go", "package p\nfunc f(r *http.Request) { _ = r.FormValue(\"a\") }\n"), "FormValue reads a multipart form"},

	{"identifiers", "method", files("p/p.go", "package p\ntype s int\nfunc (s) runTask() {}\n"), "runTask says task"},
	{"identifiers", "type", files("p/p.go", "package p\ntype WorkflowRun struct{}\n"), "here it is called saga"},
	{"identifiers", "field", files("p/p.go", "package p\ntype s struct{ next_job int }\n"), "says job"},
	{"identifiers", "local", files("p/p.go", "package p\nfunc f() { task := 1; _ = task }\n"), "says task"},
	{"identifiers", "words are whole", files("p/p.go", "package p\ntype jobless int\n"), ""},
	{"identifiers", "transaction", files("store/boltstore/b.go", "package boltstore\nfunc rollback() {}\n"), ""},

	{"prose", "comment", files("p/p.go", "package p\n\n// starts the workflow.\nvar _ = 0\n"), "says workflow"},
	{"prose", "document", files("docs/A.md", "# A\n\nan Orchestrator\n"), "docs/A.md:3"},
	{"prose", "private word", files("p/p.go", "package p\n\n// f mends what it can.\nvar _ = 0\n"), "says mends"},
	{"prose", "a person", files("README.md", "Whoever asks gets his answer.\n"), "says his"},
	{"prose", "comparison", files("README.md", "## How it compares\n\na workflow engine\n"), ""},

	{"open ends", "bare", files("p/p.go", "package p\n\n// TODO more\n"), "without a reason"},
	{"open ends", "with a reason", files("p/p.go", "package p\n\n// TODO(needs nats-server 2.16): use the new flag\n"), ""},
	{"open ends", "script", files("run.sh", "# FIXME\n"), "run.sh:1"},

	{"leaks", "path", files("docs/A.md", "see /home/alice/src\n"), "a path of somebody's machine"},
	{"leaks", "key", files("a.pem", "-----BEGIN EC PRIVATE KEY-----\n"), "a private key"},
	{"leaks", "address", files("compose.yml", "host: 192.168.1.7\n"), "a private address"},
	{"leaks", "token", files("a.yml", "token: ghp_0123456789abcdef0123\n"), "an access token"},
	{"leaks", "ordinary", files("docs/A.md", "GET /healthz, /data/coordinator, 127.0.0.1:8080\n"), ""},

	{"links", "right", files("README.md", "[a](docs/A.md#part) [b](https://example.org) [c](#here)\n", "docs/A.md", "[up](../README.md)\n"), ""},
	{"links", "wrong", files("docs/A.md", "[a](B.md)\n"), "links to B.md"},

	{"snippets", "copied", files("README.md", "```go\nfunc f() {\n    g()\n}\n```\n", "p/p.go", "package p\n\nfunc f() {\n\tg()\n}\nfunc g() {}\n"), ""},
	{"snippets", "invented", files("README.md", "a\n```go\nfunc f() {}\n```\n", "p/p.go", "package p\n"), "README.md:2"},
	{"snippets", "other language", files("README.md", "```sh\ngo run .\n```\n"), ""},

	{"commands", "known", files("README.md", "```sh\ngo run ./cmd/coordinator serve\ncoordinator dead-letters list\n```\nthe coordinator decides\n",
		"internal/cli/cli.go", "package cli\ntype root struct {\n\tServe int `cmd:\"\"`\n\tDead int `cmd:\"\" name:\"dead-letters\"`\n}\n"), ""},
	{"commands", "unknown", files("README.md", "```sh\ncoordinator explode\n```\n", "internal/cli/cli.go", "package cli\n"), "coordinator explode"},

	{"outside", "public", files("examples/x/main.go", "package main\nimport _ \"github.com/amends-dev/amends/saga\"\n"), ""},
	{"outside", "internal", files("examples/x/main.go", "package main\nimport _ \"github.com/amends-dev/amends/internal/plural\"\n"), "which strangers cannot"},

	{"methods", "in five files", methods("p", 5), ""},
	{"methods", "in six files", methods("p", 6), "p.T: has its methods in 6 files: f0.go, f1.go, f2.go, f3.go, f4.go, f5.go"},
	{"methods", "in tests", files("p/a.go", "package p\ntype T struct{}\n", "p/a_test.go", "package p\nfunc (T) A() {}\n", "p/b_test.go", "package p\nfunc (T) B() {}\n"), ""},
	{"methods", "listed without need", files("store/boltstore/s.go", "package boltstore\ntype Store struct{}\n"), "boltstore.Store: is an exception that is not needed"},
	{"methods", "map", files("p/doc.go", "// Package p is p.\n//\n//\ta.go: T\npackage p\n", "p/a.go", "package p\n"), ""},
	{"methods", "map of a file that is gone", files("p/doc.go", "// Package p is p.\n//\n//\ta.go: T\npackage p\n"), "lists a.go, which does not exist"},
	{"methods", "map without a file", files("transport/natsbus/doc.go", "// Package natsbus is a bus.\n//\n//\ta.go: Bus\npackage natsbus\n",
		"transport/natsbus/a.go", "package natsbus\n", "transport/natsbus/b.go", "package natsbus\nfunc (b *Bus) B() {}\n"), "does not list b.go"},

	{"numbers", "one spelling", files("transport/t.go", "package transport\nimport \"strconv\"\nvar _ = strconv.Itoa(1)\n"), ""},
	{"numbers", "any spelling", files("transport/natsbus/t.go", "package natsbus\nimport \"strconv\"\nvar _, _ = strconv.Atoi(\"01\")\n"), "takes +1 and 01 for 1"},
	{"numbers", "scanned", files("internal/httpapi/t.go", "package httpapi\nimport \"fmt\"\nvar _, _ = fmt.Sscanf(\"01\", \"%d\")\n"), "fmt.Sscanf"},
	{"numbers", "elsewhere", files("internal/bench/t.go", "package bench\nimport \"strconv\"\nvar _, _ = strconv.Atoi(\"01\")\n"), ""},

	{"streams", "a stream", files("internal/cli/c.go", "package cli\nfunc f(s stream) { s.Printf(\"%s\", 1); s.Table(nil) }\n"), ""},
	{"streams", "stdout", files("internal/cli/c.go", "package cli\nimport \"os\"\nvar _ = os.Stdout\n"), "os.Stdout"},
	{"streams", "somewhere below", files("store/s.go", "package store\nimport \"fmt\"\nfunc f() { fmt.Println(1) }\n"), "fmt.Println"},
	{"streams", "built in", files("saga/s.go", "package saga\nfunc f() { println(1) }\n"), "with println"},
	{"streams", "library", files("internal/httpapi/a.go", "package httpapi\nimport \"log\"\nfunc f() { log.Printf(\"x\") }\n"), "log.Printf"},
	{"streams", "format", files("internal/cli/c.go", "package cli\nfunc f(s stream, x string) { s.Printf(x) }\n"), "a format is made up"},
	{"streams", "lines", files("internal/cli/c.go", "package cli\nfunc f(s stream) { s.Lines().Write(nil) }\n"), "whole lines"},
	{"streams", "lines of its own", files("internal/cli/completion.go", "package cli\nfunc f(s stream) { s.Lines().Write(nil) }\n"), ""},
	{"streams", "program", files("cmd/x/main.go", "package main\nimport \"os\"\nvar _ = os.Stdout\n"), ""},

	{"counts", "plural", files("internal/httpapi/a.go", "package httpapi\nimport \"fmt\"\nfunc f(n int) string { return fmt.Sprintf(\"%d open sagas\", n) }\n"), "reads wrong for 1"},
	{"counts", "of them", files("internal/httpapi/a.go", "package httpapi\nimport \"fmt\"\nfunc f(n int) string { return fmt.Sprintf(\"%d of %d sagas\", n, n) }\n"), "reads wrong for 1"},
	{"counts", "a bound", files("internal/httpapi/a.go", "package httpapi\nimport \"fmt\"\nfunc f(n int) string { return fmt.Sprintf(\"at most %d sagas\", n) }\n"), ""},
	{"counts", "both words", files("internal/httpapi/a.go", "package httpapi\nfunc f(n int) string { return plural.Of(n, \"saga\", \"sagas\") }\n"), ""},

	{"reach", "field", files("p/p.go", "package p\n\nimport \"x/internal/q\"\n\ntype T struct{ F *q.C }\n"), "names q.C"},
	{"reach", "result", files("p/p.go", "package p\n\nimport \"x/internal/q\"\n\nfunc F() q.C { return q.C{} }\n"), "names q.C"},
	{"reach", "alias", files("p/p.go", "package p\n\nimport \"x/internal/q\"\n\ntype C = q.C\n\ntype T struct {\n\tF *C\n\tf q.D\n}\n"), ""},
	{"invariants", "uncited", files(Map, "**I1** **I2**\n", "p/p_test.go", "package p\n\n// I1\n"), "no test cites I2"},
	{"invariants", "undefined", files(Map, "**I1**\n", "p/p.go", "package p\n\n// It keeps I11.\n"), "cites I11, which ARCHITECTURE.md does not define"},
	{"invariants", "no table", files(Map, "I1\n"), "defines no invariants"},

	{"containers", "confined", files("docker-compose.yml", confined), ""},
	{"containers", "merged", files("docker-compose.yml", confined+"  b:\n    <<: *a\n    user: \"472:0\"\n"), ""},
	{"containers", "root", files("docker-compose.yml", strings.Replace(confined, "1:1", "0:1", 1)), "docker-compose.yml, a: its user may be root"},
	{"containers", "named", files("docker-compose.yml", strings.Replace(confined, "1:1", "nats", 1)), "its user may be root"},
	{"containers", "writable", files("docker-compose.yml", strings.Replace(confined, "true,", "false,", 1)), "read_only is not set"},
	{"containers", "capabilities", files("docker-compose.yml", strings.Replace(confined, "[ALL]", "[NET_RAW]", 1)), "it has capabilities"},
	{"containers", "one more", files("docker-compose.yml", confined+"  b:\n    <<: *a\n    cap_add: [CHOWN]\n"), "docker-compose.yml, b: it has capabilities"},
	{"containers", "privileged", files("docker-compose.yml", confined+"  b:\n    <<: *a\n    privileged: true\n"), "it has capabilities"},
	{"containers", "privileges", files("docker-compose.yml", strings.Replace(confined, "privileges:true", "privileges:false", 1)), "it can gain privileges"},
	{"containers", "open port", files("docker-compose.yml", confined+"  b:\n    <<: *a\n    ports: [\"80:80\"]\n"), "port 80:80 is open"},
	{"containers", "nothing said", files("examples/compose.yaml", "services:\n  c: {image: x}\n"), "examples/compose.yaml, c: it can write to its image"},
	{"containers", "unreadable", files("docker-compose.yml", "services: [\n"), "cannot be read"},
}

// confined is a Compose file with a service that has only the privileges it needs.
const confined = `services:
  a: &a {user: "1:1", read_only: true, cap_drop: [ALL], security_opt: ["no-new-privileges:true"], ports: ["127.0.0.1:80:80"]}
`
