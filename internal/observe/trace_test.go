package observe_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/amends-dev/amends/internal/observe"
	"github.com/amends-dev/amends/observe/tracing"
)

const w3c = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"

// TestTraceContexts checks that the contexts of a saga's trace depend only on its id, its revision
// and stored data.
func TestTraceContexts(t *testing.T) {
	with := func(sampler trace.Sampler) *observe.Tracer {
		p := trace.NewTracerProvider(trace.WithIDGenerator(tracing.IDs{}), trace.WithSampler(sampler))
		t.Cleanup(func() { _ = p.Shutdown(t.Context()) })
		return observe.NewTracer(p)
	}
	all := with(trace.ParentBased(trace.AlwaysSample()))
	for name, tt := range map[string]struct{ caller, want string }{
		"a caller's":                   {w3c + "01", w3c + "01"},
		"a caller who does not sample": {w3c + "00", w3c + "00"},
		"none":                         {"", "00-" + observe.TraceID("order-1") + "-"},
		"what cannot be read":          {"00-" + strings.Repeat("x", 4096), "00-" + observe.TraceID("order-1") + "-"},
		"all zeros":                    {"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-" + observe.TraceID("order-1") + "-"},
	} {
		root := all.Root("order-1", tt.caller)
		if !strings.HasPrefix(root, tt.want) || root != all.Root("order-1", tt.caller) {
			t.Errorf("%s: root %q, want %s…, and the same every time", name, root, tt.want)
		}
	}
	if root := with(trace.ParentBased(trace.NeverSample())).Root("order-1", ""); !strings.HasSuffix(root, "-00") {
		t.Errorf("without sampling the root is %q", root)
	}
	root := all.Root("order-1", w3c+"01")
	two, three := all.Transit("order-1", 2, root), all.Transit("order-1", 3, root)
	if two == three || two != all.Transit("order-1", 2, root) || two == all.Transit("order-2", 2, root) ||
		!strings.HasPrefix(two, root[:36]) || !strings.HasSuffix(two, "-01") {
		t.Errorf("transitions 2 and 3 of %s are %s and %s", root, two, three)
	}
	if got := all.Transit("order-1", 2, ""); got != "" {
		t.Errorf("a saga from before there were traces sends %q", got)
	}
	if none := all.Root("order-1", ""); none != all.Transit("order-1", 1, none) {
		t.Errorf("without a caller the root is the first transition's span: %s", none)
	}
}
