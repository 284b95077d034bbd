package quota_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/internal/quota"
)

// TestQuota compares a quota with a model (I10).
func TestQuota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, each := rapid.IntRange(1, 12).Draw(t, "all"), rapid.IntRange(0, 6).Draw(t, "each")
		q := quota.New(all, each)
		held, total := map[string]int{}, 0
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			who := rapid.SampledFrom([]string{"", "ada", "kim"}).Draw(t, "who")
			if rapid.Bool().Draw(t, "gives") {
				if held[who] > 0 {
					q.Give(who)
					held[who]--
					total--
				}
				continue
			}
			most := each
			if each == 0 {
				most = all - total
			}
			var want error
			if total == all {
				want = quota.ErrAll
			} else if held[who] >= most {
				want = quota.ErrEach
			}
			if err := q.Take(who); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Fatalf("%d of %d are taken, %d of them by %q, each may have %d: %v, want %v", total, all, held[who], who, each, err, want)
			} else if err == nil {
				held[who]++
				total++
			}
		}
	})
}

// TestNewcomerGetsIn: a caller that takes the maximum leaves the same number for other callers
// (I13).
func TestNewcomerGetsIn(t *testing.T) {
	q := quota.New(8, 0)
	hog := 0
	for q.Take("hog") == nil {
		hog++
	}
	if hog != 4 {
		t.Errorf("one alone gets %d of 8, want half", hog)
	}
	if err := q.Take("newcomer"); err != nil {
		t.Errorf("a newcomer beside the hog: %v", err)
	}
}
