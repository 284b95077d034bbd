package definitionfile_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/amends-dev/amends/saga/definitionfile"
)

// TestDocument checks that the definition in docs/DEFINITION.md is valid, and that the errors shown
// there for an invalid one are the actual errors.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/DEFINITION.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```(?:yaml|text)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != 3 {
		t.Fatalf("there are %d blocks of yaml and text, want a definition, a wrong one, and its errors", len(blocks))
	}
	if _, err := definitionfile.ParseYAML([]byte(blocks[0])); err != nil {
		t.Error(err)
	}
	if _, err := definitionfile.ParseYAML([]byte(blocks[1])); err == nil || err.Error() != strings.TrimSpace(blocks[2]) {
		t.Errorf("the errors are\n%v\nand the page says\n%s", err, blocks[2])
	}
}
