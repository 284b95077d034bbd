package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/amends-dev/amends/internal/plural"
)

// Summary is what became of the tests. Subtests count on their own.
type Summary struct {
	// MaySkip matches the names of tests that skip on every machine, because their
	// suite has them for others. They are listed, and count as nothing. nil: none.
	MaySkip *regexp.Regexp

	Passed  int
	Failed  []string // "package test", or the package alone when it did not build
	Skipped []string // "package test: reason"
	Allowed []string // the same, of tests that may skip
	Closing []string // the packages' own last lines
}

// tail is how many lines of a failed test's output are shown: its end, which
// says why.
const tail = 200

// line is what `go test -json` writes for every event (go doc test2json). A
// package that does not build reports through ImportPath.
type line struct {
	Action, Package, ImportPath, Test, Output string
}

// Read reads events until the end of in, and writes package lines and the output
// of what failed to out as soon as it is known. A line that is not JSON is
// passed on: the go command says there what it could not start.
func (s *Summary) Read(in io.Reader, out io.Writer) error {
	said := map[string]*strings.Builder{}
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e line
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			fmt.Fprintln(out, scanner.Text())
			continue
		}
		s.take(e, said, out)
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read the events of go test: %w", err)
	}
	return nil
}

func (s *Summary) take(e line, said map[string]*strings.Builder, out io.Writer) {
	name := strings.TrimSpace(e.Package + e.ImportPath + " " + e.Test)
	switch e.Action {
	case "output", "build-output":
		if e.Test == "" && closing(e.Output) {
			s.Closing = append(s.Closing, strings.TrimSuffix(e.Output, "\n"))
			fmt.Fprint(out, e.Output)
			return
		}
		if said[name] == nil {
			said[name] = &strings.Builder{}
		}
		said[name].WriteString(e.Output)
	case "pass":
		if e.Test != "" {
			s.Passed++
		}
		delete(said, name)
	case "skip":
		switch skipped := name + ": " + reason(said[name]); {
		case e.Test == "":
		case s.MaySkip != nil && s.MaySkip.MatchString(name):
			s.Allowed = append(s.Allowed, skipped)
		default:
			s.Skipped = append(s.Skipped, skipped)
		}
		delete(said, name)
	case "fail", "build-fail":
		s.fail(e, name)
		if text := said[name]; text != nil {
			fmt.Fprintf(out, "--- %s\n%s", name, end(text))
		}
		for _, key := range slices.Sorted(maps.Keys(said)) {
			// A package that died takes its unfinished tests with it.
			if e.Test == "" && key != name && strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprintf(out, "--- unfinished: %s\n%s", key, end(said[key]))
				delete(said, key)
			}
		}
		delete(said, name)
	}
}

// end is the last lines of what was said.
func end(text *strings.Builder) string {
	said := strings.SplitAfter(text.String(), "\n")
	if len(said) <= tail {
		return text.String()
	}
	return "… " + plural.Of(len(said)-tail, "line", "lines") + " before\n" + strings.Join(said[len(said)-tail:], "")
}

// fail notes what failed. A package that failed because one of its tests did is
// not counted again.
func (s *Summary) fail(e line, name string) {
	counted := func(earlier string) bool { return strings.HasPrefix(earlier, e.Package+" ") }
	if e.Test == "" && e.Package != "" && slices.ContainsFunc(s.Failed, counted) {
		return
	}
	s.Failed = append(s.Failed, name)
}

// closing reports whether a package's line is its last word.
func closing(output string) bool {
	return strings.HasPrefix(output, "ok  \t") || strings.HasPrefix(output, "FAIL\t") || strings.Contains(output, "[no test files]")
}

// reason is what a skipped test said, without the file and line that go test
// puts before it.
func reason(text *strings.Builder) string {
	if text == nil {
		return "no reason given"
	}
	var said []string
	for l := range strings.Lines(text.String()) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "=== ") || strings.HasPrefix(l, "--- ") {
			continue
		}
		if _, behind, found := strings.Cut(l, ".go:"); found {
			if _, what, ok := strings.Cut(behind, ": "); ok {
				l = what
			}
		}
		said = append(said, l)
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

// Good reports whether something ran, nothing failed and, if asked for, nothing
// was skipped.
func (s *Summary) Good(noskips bool) bool {
	return s.Passed > 0 && len(s.Failed) == 0 && (!noskips || len(s.Skipped) == 0)
}

// Print writes the skipped and failed tests and the closing line.
func (s *Summary) Print(out io.Writer) {
	for _, name := range s.Allowed {
		fmt.Fprintln(out, "skipped everywhere:", name)
	}
	for _, name := range s.Skipped {
		fmt.Fprintln(out, "SKIPPED", name)
	}
	for _, name := range s.Failed {
		fmt.Fprintln(out, "FAILED", name)
	}
	fmt.Fprintf(out, "%d passed, %d failed", s.Passed, len(s.Failed))
	if len(s.Skipped) > 0 {
		fmt.Fprintf(out, ", %d skipped", len(s.Skipped))
	}
	fmt.Fprintln(out)
}
