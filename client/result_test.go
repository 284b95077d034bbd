package client_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
)

func TestResult(t *testing.T) {
	s := &api.Saga{ID: "order-42", Steps: []api.Step{
		{Name: "reserve", Status: contract.StepDone, Result: &api.Payload{JSON: []byte(`{"id":"shelf-7"}`)}},
		{Name: "print", Status: contract.StepDone, Result: &api.Payload{JSON: []byte(`"AAE="`)}},
		{Name: "draw", Status: contract.StepDone, Result: &api.Payload{ContentType: "image/png", Binary: []byte("\x89PNG")}},
		{Name: "scan", Status: contract.StepDone, Result: &api.Payload{SizeBytes: 900000, LeftOut: true}},
		{Name: "ship", Status: contract.StepPending},
	}}
	if got, err := client.Result[Order](s, "reserve"); err != nil || got.ID != "shelf-7" {
		t.Errorf("a struct: %v, %v", got, err)
	}
	if got, err := client.Result[json.RawMessage](s, "reserve"); err != nil || string(got) != `{"id":"shelf-7"}` {
		t.Errorf("as JSON: %s, %v", got, err)
	}
	if got, err := client.Result[[]byte](s, "print"); err != nil || string(got) != "\x00\x01" { // a participant's bytes travel in base64
		t.Errorf("bytes: %q, %v", got, err)
	}
	if got, err := client.Result[[]byte](s, "draw"); err != nil || string(got) != "\x89PNG" {
		t.Errorf("a picture: %q, %v", got, err)
	}
	for step, want := range map[contract.StepName]string{
		"draw":    "the data has the content type image/png; decode it into a []byte",
		"print":   "cannot unmarshal string",
		"scan":    "900000 bytes did not fit into the reply; read the data with History",
		"ship":    "the step has no result; it is pending",
		"nothing": "there is no such step; the steps are: reserve, print, draw, scan, ship",
	} {
		_, err := client.Result[Order](s, step)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "result of step "+string(step)+" of saga order-42: ") {
			t.Errorf("%s: %v, want %q", step, err, want)
		}
	}
}

// JSON null is a result and an input.
func TestNull(t *testing.T) {
	var s api.Saga
	if err := json.Unmarshal([]byte(`{"steps":[{"name":"ship","result":{"sizeBytes":4,"json":null}}],"input":{"sizeBytes":4,"json":null}}`), &s); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Result[*Order](&s, "ship"); err != nil || got != nil {
		t.Errorf("Result: %v, %v", got, err)
	}
	if got, err := client.Input[*Order](&s); err != nil || got != nil {
		t.Errorf("Input: %v, %v", got, err)
	}
}

func TestInput(t *testing.T) {
	s := &api.Saga{ID: "order-42", Input: &api.Payload{JSON: []byte(`{"id": "42"}`)}}
	if got, err := client.Input[Order](s); err != nil || got.ID != "42" {
		t.Errorf("a struct: %v, %v", got, err)
	}
	if got, err := client.Input[[]byte](s); err != nil || string(got) != `{"id": "42"}` {
		t.Errorf("byte for byte: %s, %v", got, err)
	}
	if got, err := client.Input[json.RawMessage](s); err != nil || string(got) != `{"id": "42"}` {
		t.Errorf("as JSON: %s, %v", got, err)
	}
	picture := &api.Saga{Input: &api.Payload{ContentType: "image/png", Binary: []byte("\x89PNG")}}
	if got, err := client.Input[[]byte](picture); err != nil || string(got) != "\x89PNG" {
		t.Errorf("bytes: %q, %v", got, err)
	}
	for want, s := range map[string]*api.Saga{
		"the data has the content type image/png; decode it into a []byte": picture,
		"cannot unmarshal array": {Input: &api.Payload{JSON: []byte(`[]`)}},
		"7 bytes did not fit into the reply; read the data with History": {Input: &api.Payload{SizeBytes: 7, LeftOut: true}},
		"this reply does not contain the data; use Get":                  {},
		"the saga has ended, and retention has removed its data":         {Removed: true},
		"unknown definition": {Problem: "unknown definition"},
	} {
		if _, err := client.Input[Order](s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := client.Result[Order](s, "reserve"); err == nil || s.Removed && !strings.Contains(err.Error(), want) {
			t.Errorf("result: %v", err)
		}
	}
}
