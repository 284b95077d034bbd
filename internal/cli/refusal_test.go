package cli

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// refusing is an API that refuses decisions like a coordinator.
type refusing struct {
	apiv1connect.UnimplementedCoordinatorServiceHandler
}

const refusalText = "retry: the step, by kim"

var legalThen = []*apiv1.LegalOperation{{Operation: "cancel"}, {Operation: "retry", Step: "ship-parcel"}, {Operation: "resolve", Step: "ship-parcel"}}

func (refusing) Operate(context.Context, *connect.Request[apiv1.OperateRequest]) (*connect.Response[apiv1.OperateResponse], error) {
	err := connect.NewError(connect.CodeFailedPrecondition, errors.New(refusalText))
	detail, wrong := connect.NewErrorDetail(&apiv1.Refusal{Legal: legalThen})
	if wrong != nil {
		return nil, wrong
	}
	err.AddDetail(detail)
	return nil, err
}

func (refusing) OperateAll(_ context.Context, _ *connect.Request[apiv1.OperateAllRequest], s *connect.ServerStream[apiv1.OperateAllResponse]) error {
	return s.Send(&apiv1.OperateAllResponse{Matched: 1, Refused: 1, Finished: true, Refusals: []*apiv1.RefusedSaga{{Id: "order-1", Reason: refusalText, Legal: legalThen}}})
}

// TestLegalAsTyped checks that the legal operations in a refusal can be typed as they are printed.
func TestLegalAsTyped(t *testing.T) {
	_, handler := apiv1connect.NewCoordinatorServiceHandler(refusing{})
	server := httptest.NewServer(handler)
	defer server.Close()
	for _, line := range []string{"retry order-1", "retry --where-open --dry-run", "retry --where-open --yes"} {
		var out, errs bytes.Buffer
		Run(t.Context(), append(strings.Fields(line), "--by", "ada", "--reason", "x", "--server", server.URL), strings.NewReader(""), &out, &errs)
		all := out.String() + errs.String()
		if !strings.Contains(all, "legal now: cancel, retry --step ship-parcel, resolve --step ship-parcel --outcome completed|rejected\n") || strings.Contains(all, "retry ship-parcel") || !strings.Contains(all, "by kim") {
			t.Errorf("coordinator %s: output %s", line, all)
		}
	}
}
