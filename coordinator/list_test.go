package coordinator_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// A filter accepts times in every notation, but refuses a zero time. So does a decision about many
// sagas.
func TestTimesInFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.run("s1")
		ask := func(method, data string) *transport.Envelope {
			t.Helper()
			e, err := w.bus.Request(t.Context(), &transport.Envelope{
				Subject: transport.Subjects{}.API(method), Type: transport.TypeRequest, Data: []byte(data), Expires: time.Now().Add(time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		for filter, want := range map[string]int{
			`{"started_before":"9999-01-01T00:00:00Z"}`: 1,
			`{"updated_before":"2300-01-01T00:00:00Z"}`: 1,
			`{"started_after":"2300-01-01T00:00:00Z"}`:  0,
			`{"started_after":"0001-01-02T00:00:00Z"}`:  1,
			`{"started_before":"1500-01-01T00:00:00Z"}`: 0,
		} {
			var reply transport.CountReply
			if e := ask(transport.APICount, filter); json.Unmarshal(e.Data, &reply) != nil || e.Code != "" || reply.Total != want {
				t.Errorf("%s matches %d, %q %s; want %d", filter, reply.Total, e.Code, e.Reason, want)
			}
		}
		for _, field := range []string{"started_after", "started_before", "updated_before"} {
			for _, zero := range []string{"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00"} {
				text := `"open":true,"` + field + `":"` + zero + `"`
				bulk := `{"filter":{` + text + `},"decision":{"operation":"cancel","by":"kim","reason":"spring cleaning"}}`
				for method, data := range map[string]string{transport.APICount: "{" + text + "}", transport.APIList: "{" + text + "}", transport.APIOperateAll: bulk} {
					if e := ask(method, data); e.Code != string(transport.CodeInvalidArgument) || !strings.Contains(e.Reason, field) || !strings.Contains(e.Reason, "leave it out") {
						t.Errorf("%s of %s: %q %s; want it refused", method, data, e.Code, e.Reason)
					}
				}
			}
		}
	})
}

// TestWhatIsNotGivenDoesNotWiden checks that an empty list, an empty string or a misspelt name does
// not widen a filter.
func TestWhatIsNotGivenDoesNotWiden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.run("s1")
		refused := func(method, data, why string) {
			t.Helper()
			e, err := w.bus.Request(t.Context(), &transport.Envelope{
				Subject: transport.Subjects{}.API(method), Type: transport.TypeRequest, Data: []byte(data), Expires: time.Now().Add(time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			if e.Code != string(transport.CodeInvalidArgument) || !strings.Contains(e.Reason, why) {
				t.Errorf("%s of %s: %q %s %s; want it refused with %q", method, data, e.Code, e.Reason, e.Data, why)
			}
		}
		bulk := func(filter string) string {
			return `{"filter":` + filter + `,"decision":{"operation":"cancel","by":"kim","reason":"spring cleaning"},"dry_run":true}`
		}
		for filter, why := range map[string]string{
			`{"ids":[]}`:                       "ids: has nothing in it",
			`{"open":true,"ids":[]}`:           "ids: has nothing in it",
			`{"phases":[]}`:                    "phases: has nothing in it",
			`{"step":"bake","Step":"x"}`:       `unknown field "Step"`,
			`{"open":true,"\u017ftep":"bake"}`: "unknown field \"\u017ftep\"",
			`{"open":true,"started_before":"9999-12-31T23:00:00-12:00"}`: "started_before: is not between the years",
			`{"open":true,"updated_before":"0000-12-31T23:00:00Z"}`:      "updated_before: is not between the years",
		} {
			refused(transport.APICount, filter, why)
			refused(transport.APIList, filter, why)
			refused(transport.APIOperateAll, bulk(filter), why)
		}
		for _, field := range []string{"definition", "id_prefix", "reason", "step", "participant"} {
			refused(transport.APIOperateAll, bulk(`{"open":true,"`+field+`":""}`), field+": is given and empty")
		}
		refused(transport.APIOperateAll, `{"filter":{"open":true},"Filter":{"definition":"cake"},"decision":{"operation":"cancel","by":"kim","reason":"x"}}`, "unknown field")
		refused(transport.APIOperate, `{"operation":"cancel","by":"kim","By":"ada","reason":"x"}`, `unknown field "By"`)
	})
}
