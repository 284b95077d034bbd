package main

import (
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, events ...string) (*Summary, string) {
	t.Helper()
	var out strings.Builder
	s := &Summary{MaySkip: regexp.MustCompile("TestOfOthers$")}
	if err := s.Read(strings.NewReader(strings.Join(events, "\n")), &out); err != nil {
		t.Fatal(err)
	}
	s.Print(&out)
	return s, out.String()
}

func TestGoodRun(t *testing.T) {
	s, out := read(t,
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}`,
		`{"Action":"pass","Package":"p"}`)
	if want := "ok  \tp\t0.1s\n1 passed, 0 failed\n"; out != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	if !s.Good(true) {
		t.Error("a run without failures and skips is good")
	}
}

func TestFailureShowsItsOutput(t *testing.T) {
	s, out := read(t,
		`{"Action":"pass","Package":"p","Test":"TestB"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: want 1, got 2\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestA"}`,
		`{"Action":"fail","Package":"p"}`)
	if !strings.Contains(out, "want 1, got 2") || !strings.Contains(out, "FAILED p TestA\n1 passed, 1 failed\n") {
		t.Errorf("the failure is not shown:\n%s", out)
	}
	if s.Good(false) {
		t.Error("a run with a failure is not good")
	}
}

func TestSkipIsListedWithItsReason(t *testing.T) {
	s, out := read(t,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: needs PostgreSQL: set AMENDS_TEST_POSTGRES\n"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}`,
		`{"Action":"skip","Package":"p","Test":"TestB"}`)
	if !strings.Contains(out, "SKIPPED p TestB: needs PostgreSQL: set AMENDS_TEST_POSTGRES\n") || !strings.HasSuffix(out, "1 passed, 0 failed, 1 skipped\n") {
		t.Errorf("the skipped test is not listed:\n%s", out)
	}
	if !s.Good(false) || s.Good(true) {
		t.Error("a skip is bad only where nothing may be skipped")
	}
}

func TestPackageThatDoesNotBuild(t *testing.T) {
	s, out := read(t,
		`{"ImportPath":"p [p.test]","Action":"build-output","Output":"p/a.go:3:1: syntax error\n"}`,
		`{"ImportPath":"p [p.test]","Action":"build-fail"}`,
		`{"Action":"fail","Package":"p"}`)
	if !strings.Contains(out, "syntax error") || s.Good(false) {
		t.Errorf("a package that does not build must be shown and fail:\n%s", out)
	}
}

func TestPackageThatDiesShowsItsUnfinishedTests(t *testing.T) {
	_, out := read(t,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: no\n"}`,
		`{"Action":"fail","Package":"p"}`)
	if !strings.Contains(out, "panic: no") {
		t.Errorf("the panic is not shown:\n%s", out)
	}
}

func TestNothingRanIsNotGood(t *testing.T) {
	if s, _ := read(t, "go: cannot find main module"); s.Good(false) {
		t.Error("a run without a test is not good")
	}
}

func TestLongOutputIsCut(t *testing.T) {
	_, out := read(t,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"`+strings.Repeat(`chatter\n`, 1000)+`the reason\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestA"}`)
	if n := strings.Count(out, "\n"); n > tail+10 || !strings.Contains(out, "the reason") || !strings.Contains(out, "lines before") {
		t.Errorf("%d lines are shown, want the last %d with the reason:\n%.300s", n, tail, out)
	}
}

func TestSkipThatIsAllowed(t *testing.T) {
	s, out := read(t,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"skip","Package":"p","Test":"TestOfOthers"}`)
	if !s.Good(true) || !strings.Contains(out, "skipped everywhere: p TestOfOthers") || !strings.HasSuffix(out, "\n1 passed, 0 failed\n") {
		t.Errorf("a test that skips everywhere is listed and harmless:\n%s", out)
	}
}
