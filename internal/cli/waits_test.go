package cli

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amends-dev/amends/internal/canary"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// TestWhatWaitsSaysSo checks a coordinator that accepts connections but never answers. Every
// command reports what it waits for and for how long, and times out.
func TestWhatWaitsSaysSo(t *testing.T) {
	defer func(after, every, silence time.Duration) { waitsAfter, waitsEvery, maxSilence = after, every, silence }(waitsAfter, waitsEvery, maxSilence)
	waitsAfter, waitsEvery, maxSilence = time.Millisecond, time.Millisecond, 50*time.Millisecond
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer server.Close()
	defer close(done)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("keys.txt", []byte("order-1/hod85snpc0/charge-card/do\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	definition := "name: tea\nversion: 1\nsteps:\n  - step: {name: brew, kind: retriable, do: {participant: pot, action: brew}}\n"
	if err := os.WriteFile("checkout.yaml", []byte(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, says := range map[string]string{
		"list --timeout 100ms":                                      "waiting for the answer of the coordinator at " + server.URL + ", since ",
		"show order-1 --timeout 100ms":                              "100ms at most",
		"start checkout --wait --timeout 100ms":                     "waiting for the answer",
		"wait order-1 --timeout 1ms":                                "did not answer in time",
		"watch order-1":                                             "waiting for the coordinator, since ",
		"watch order-2":                                             "sent nothing for too long",
		"wait order-1 --for 1m --timeout 100ms":                     "waiting for the answer of the coordinator, since ",
		"export --timeout 100ms":                                    "waiting for the answer of the coordinator, since ",
		"export --page-size 7 --timeout 100ms":                      "did not answer in time",
		"orphans keys.txt --timeout 100ms":                          "waiting for the answer of the coordinator, since ",
		"definition apply checkout.yaml --timeout 100ms":            "may have been registered",
		"backup copy.db --timeout 100ms":                            "waiting for the coordinator at " + server.URL + ", since ",
		"backup other.db --timeout 100ms":                           "did not answer in time",
		"retry --where-open --by ada --reason x --timeout 100ms":    "waiting for the answer of the coordinator, since ",
		"retry --where-open --by a --reason x --timeout 100ms":      "did not answer in time",
		"doctor --timeout 100ms --nats-url " + "nats://127.0.0.1:1": "waiting for the coordinator at " + server.URL + " and its NATS",
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), append(strings.Fields(line), "--server", server.URL), strings.NewReader(""), &out, &errs)
		if code == 0 || !strings.Contains(errs.String(), says) {
			t.Errorf("coordinator %s: exit code %d, output %q, want %q", line, code, errs.String(), says)
		}
	}
}

// TestWatchGivesUp checks that watch gives up when the coordinator is lost, and until then reports
// since when it has been unreachable.
func TestWatchGivesUp(t *testing.T) {
	s := &canary.Coordinator{}
	server := httptest.NewServer(s)
	defer server.Close()
	seen := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Requests() > 0 {
			panic(http.ErrAbortHandler) // the connection is lost
		}
		s.ServeHTTP(w, r)
		panic(http.ErrAbortHandler)
	}))
	defer seen.Close()
	var out, errs bytes.Buffer
	code := Run(t.Context(), []string{"watch", "--away-for", "1ms", "--server", seen.URL}, strings.NewReader(""), &out, &errs)
	if code != ExitNotReachable || !strings.Contains(errs.String(), "waiting for the coordinator, unreachable since ") || !strings.Contains(errs.String(), "has been unreachable since") {
		t.Errorf("exit code %d, output %q", code, errs.String())
	}
}

// slow answers the first wait request with a running saga, and the second with an ended one.
type slow struct {
	apiv1connect.UnimplementedCoordinatorServiceHandler
	asked int
}

func (s *slow) Wait(_ context.Context, r *connect.Request[apiv1.WaitRequest]) (*connect.Response[apiv1.WaitResponse], error) {
	one := &apiv1.Saga{Id: r.Msg.GetId(), Phase: "running", Revision: 3}
	if s.asked++; s.asked > 1 {
		one = &apiv1.Saga{Id: r.Msg.GetId(), Phase: "completed", Revision: 4, Ended: timestamppb.Now()}
	}
	return connect.NewResponse(&apiv1.WaitResponse{Saga: one}), nil
}

// TestWaitIsAloud checks that wait reports the saga that it waits for, since when, and the maximum
// time.
func TestWaitIsAloud(t *testing.T) {
	_, handler := apiv1connect.NewCoordinatorServiceHandler(&slow{})
	server := httptest.NewServer(handler)
	defer server.Close()
	var out, errs bytes.Buffer
	code := Run(t.Context(), []string{"wait", "order-1", "--server", server.URL}, strings.NewReader(""), &out, &errs)
	if code != 0 || !regexp.MustCompile(`^waiting for saga order-1, since [0-9:]{8}, 1h0m0s at most: running, revision 3\n$`).MatchString(errs.String()) {
		t.Errorf("exit code %d, output %q", code, errs.String())
	}
}
