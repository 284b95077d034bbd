package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Shrink looks for a smaller run that violates the same invariant. It tries fewer sagas, then fewer
// kinds of faults, until neither gives a smaller run.
func Shrink(ctx context.Context, r Result) Result {
	if len(r.Violations) == 0 {
		return r
	}
	invariant := r.Violations[0].Invariant
	try := func(o Options) bool {
		next := Run(ctx, o)
		if !slices.ContainsFunc(next.Violations, func(v Violation) bool { return v.Invariant == invariant }) {
			return false
		}
		r = next
		return true
	}
	for changed := true; changed && ctx.Err() == nil; {
		changed = false
		for n := 1; n < r.Sagas; n++ {
			o := r.Options
			o.Sagas = n
			if try(o) {
				changed = true
				break
			}
		}
		for k := range faultKinds {
			if r.Faults[k] == 0 {
				continue
			}
			o := r.Options
			o.Off = append(slices.Clip(o.Off), k)
			changed = try(o) || changed
		}
	}
	return r
}

// Command returns the command line that repeats the run and prints its history.
func (o *Options) Command() string {
	return "coordinator simulate " + o.Arguments() + " -v"
}

// Arguments returns the options in the form used on the command line and in the files of kept runs.
func (o *Options) Arguments() string {
	var b strings.Builder
	fmt.Fprintf(&b, "--seed %d", o.Seed)
	if o.Sagas > 0 {
		fmt.Fprintf(&b, " --sagas %d", o.Sagas)
	}
	if len(o.Off) > 0 {
		names := make([]string, len(o.Off))
		for i, k := range o.Off {
			names[i] = k.String()
		}
		fmt.Fprintf(&b, " --off %s", strings.Join(names, ","))
	}
	if o.Bug != "" {
		fmt.Fprintf(&b, " --bug %s", o.Bug)
	}
	return b.String()
}
