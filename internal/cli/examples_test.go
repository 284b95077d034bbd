package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestExamplesAreTaken checks that the parser accepts every command in the help and in the pages of
// docs. It does not run the commands.
func TestExamplesAreTaken(t *testing.T) {
	var shown []string
	var walk func(n *kong.Node)
	parser := exampleParser(t)
	walk = func(n *kong.Node) {
		_, examples, _ := strings.Cut(n.Detail, "Examples:")
		shown = append(shown, examplesIn(examples)...)
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(parser.Model.Node)
	if len(shown) < 40 {
		t.Fatalf("the help has %d examples", len(shown))
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(err, pages)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			shown = append(shown, examplesIn(block[1])...)
		}
		for _, quoted := range quotedOperation.FindAllStringSubmatch(string(text), -1) {
			shown = append(shown, quoted[1])
		}
	}
	t.Chdir(t.TempDir())
	if err := os.Mkdir("DIR", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, command := range shown {
		args := wordsOf(t, command)
		if len(args) == 0 || args[len(args)-1] == "--help" {
			continue
		}
		for _, arg := range args { // files and directories that must exist
			if strings.ContainsAny(arg, "./") && !strings.HasPrefix(arg, "-") && !filepath.IsAbs(arg) && filepath.IsLocal(arg) && !strings.Contains(arg, "://") {
				_ = os.MkdirAll(filepath.Dir(arg), 0o700)
				_ = os.WriteFile(arg, nil, 0o600)
			}
		}
		_, err := exampleParser(t).Parse(args)
		if err != nil && !strings.Contains(err.Error(), "/var/lib/amends") && !strings.Contains(err.Error(), "/backup/") {
			t.Errorf("%s\n  says: %v", command, err)
		}
	}
}

var (
	shellBlock      = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")
	quotedOperation = regexp.MustCompile("`(coordinator (?:cancel|retry|resolve|skip|compensate|abandon|pause|resume|remove-damaged) [^`]*--reason [^`]*)`")
	ofTheShell      = regexp.MustCompile(`(\s#| \| | \|\| | && |; | > | >> |<).*`)
)

// examplesIn returns the commands in a text that has one command per line.
func examplesIn(text string) (commands []string) {
	for line := range strings.Lines(text) {
		if _, command, ok := strings.Cut(line, "coordinator "); ok && !strings.Contains(line, "./") && (strings.HasPrefix(strings.TrimSpace(line), "coordinator ") || strings.Contains(line, "| coordinator ")) {
			commands = append(commands, "coordinator "+strings.TrimSpace(command))
		}
	}
	return commands
}

// wordsOf returns the arguments of a command as a shell splits them.
func wordsOf(t *testing.T, command string) []string {
	t.Helper()
	quoted := regexp.MustCompile(`'[^']*'|"[^"]*"`)
	bare := quoted.ReplaceAllStringFunc(command, func(s string) string { return strings.Repeat("x", len(s)) })
	if cut := ofTheShell.FindStringIndex(bare); cut != nil {
		command = command[:cut[0]]
	}
	command = strings.TrimSuffix(strings.TrimSpace(strings.ReplaceAll(command, "...", "")), "\\")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\0' `+strings.ReplaceAll(command, "$(date", "$(: ")).Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	var args []string
	for word := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		args = append(args, string(word))
	}
	return args[1:]
}

// exampleParser returns a parser for the grammar, with values for the variables that users set.
func exampleParser(t *testing.T) *kong.Kong {
	t.Helper()
	parser, err := kong.New(&root{}, append(decimals(), kong.Name("coordinator"), kong.Vars{"shards": "1", "max_batch": "1", "max_open": "1"},
		kong.Bind(&environment{}), kong.Exit(func(int) {}), kong.Writers(&bytes.Buffer{}, &bytes.Buffer{}))...)
	if err != nil {
		t.Fatal(err)
	}
	return parser
}
