package server_test

import (
	"log/slog"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/server"
)

// TestOverviewShowsTheStore checks that the overview describes the files of the embedded store.
func TestOverviewShowsTheStore(t *testing.T) {
	s, err := server.Start(t.Context(), server.Config{DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	r, err := apiv1connect.NewCoordinatorServiceClient(http.DefaultClient, s.Addresses().HTTP).
		GetOverview(t.Context(), connect.NewRequest(&apiv1.GetOverviewRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	got := r.Msg.GetOverview().GetStore()
	if got.GetStateBytes() < 4096 || got.GetLogBytes() < 3*8<<20 || got.GetWaiting() != "" || got.GetWaitingSince() != nil ||
		got.GetLastCheckpoint() == nil {
		t.Errorf("the store is %v", got)
	}
}
