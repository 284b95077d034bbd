package console_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// pastTheEdge matches code that shows text without using visible.ts.
var pastTheEdge = regexp.MustCompile(`innerHTML|outerHTML|dangerouslySetInnerHTML|insertAdjacent|textContent\s*=|innerText\s*=|document\.write|createTextNode|setAttribute\(|\balert\(|\bconfirm\(|\bprompt\(|new Notification|document\.title = [^v"]`)

// TestNothingIsShownPastTheEdge checks that all text is shown through visible.ts.
func TestNothingIsShownPastTheEdge(t *testing.T) {
	files, err := filepath.Glob("web/src/*.ts*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range pastTheEdge.FindAllString(string(source), -1) {
			t.Errorf("%s: %s bypasses visible.ts: create an element, or call visible", file, found)
		}
	}
}
