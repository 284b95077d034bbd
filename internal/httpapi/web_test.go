package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// TestWebPagesAreKeptOut checks that pages of other sites get no access through a browser on the
// coordinator's machine.
func TestWebPagesAreKeptOut(t *testing.T) {
	w := newFixture(t)
	for name, tt := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"program":      {func(*http.Request) {}, http.StatusNotFound}, // the saga does not exist; the path does
		"own page":     {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, http.StatusNotFound},
		"other page":   {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		"old browser":  {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		"rebound name": {func(r *http.Request) { r.Host = "evil.example" }, http.StatusForbidden},
		"localhost":    {func(r *http.Request) { r.Host = "localhost:8080" }, http.StatusNotFound},
		"IPv6":         {func(r *http.Request) { r.Host = "[::1]" }, http.StatusNotFound},
	} {
		r, err := http.NewRequestWithContext(within(t), http.MethodPost, w.HTTP+apiv1connect.CoordinatorServiceGetProcedure, strings.NewReader(`{"id":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		tt.change(r)
		response, err := w.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", name, response.StatusCode, tt.want)
		}
	}
}

// TestReflectionAndHealth checks that gRPC tools find the service and its health.
func TestReflectionAndHealth(t *testing.T) {
	w := newFixture(t)
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	defer h2c.CloseIdleConnections()
	client := &http.Client{Transport: h2c}
	stream := grpcreflect.NewClient(client, w.HTTP, connect.WithGRPC()).NewStream(within(t))
	services, err := stream.ListServices()
	if err != nil || len(services) != 2 || string(services[0]) != apiv1connect.CoordinatorServiceName {
		t.Errorf("reflection lists %v, %v", services, err)
	}
	files, err := stream.FileContainingSymbol("amends.api.v1.CoordinatorService")
	if err != nil || len(files) == 0 {
		t.Errorf("reflection describes the service in %d files, %v", len(files), err)
	}
	if _, err := stream.Close(); err != nil {
		t.Error(err)
	}
	for service, want := range map[string]string{"": "\b\x01", apiv1connect.CoordinatorServiceName: "\b\x01", "nothing": "not_found"} {
		// HealthCheckRequest {string service = 1}; HealthCheckResponse {status = 1}, SERVING = 1
		request := &emptypb.Empty{}
		if service != "" {
			if err := proto.Unmarshal(append([]byte{0x0a, byte(len(service))}, service...), request); err != nil {
				t.Fatal(err)
			}
		}
		r, err := connect.NewClient[emptypb.Empty, emptypb.Empty](client, w.HTTP+"/"+grpchealth.HealthV1ServiceName+"/Check", connect.WithGRPC()).
			CallUnary(within(t), connect.NewRequest(request))
		got := connect.CodeOf(err).String()
		if err == nil {
			got = string(r.Msg.ProtoReflect().GetUnknown())
		}
		if got != want {
			t.Errorf("health of %q is %q, want %q", service, got, want)
		}
	}
}
