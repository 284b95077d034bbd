package natsbus

import (
	"testing"

	"github.com/amends-dev/amends/transport"
)

// The deduplication id of a bundle depends on the ids of its messages and on their boundaries.
func TestBundleID(t *testing.T) {
	id := func(ids ...string) string {
		var batch []transport.Envelope
		var items []int
		for i, id := range ids {
			batch, items = append(batch, transport.Envelope{DedupID: id}), append(items, i)
		}
		return bundleID(batch, items)
	}
	one := id("ab", "c")
	if again := id("ab", "c"); again != one {
		t.Errorf("the same messages have the ids %s and %s", one, again)
	}
	if id("a", "bc") == one {
		t.Error("other messages have the same id")
	}
	if got := id("ab", ""); got != "" {
		t.Errorf("id %q, though one of them is not to be deduplicated", got)
	}
}

// The bundle size in a consumer's metadata has one valid representation.
func TestOneSpellingOfABundle(t *testing.T) {
	if n := bundleOf(map[string]string{metaBundle: "12"}); n != 12 {
		t.Fatalf("12 is read as %d", n)
	}
	for _, text := range []string{"012", "+12", " 12", "12 ", "12.0", "1_2", "0xc", "١٢"} {
		if n := bundleOf(map[string]string{metaBundle: text}); n != 0 {
			t.Errorf("%q is read as %d commands", text, n)
		}
	}
}
