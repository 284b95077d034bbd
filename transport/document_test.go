package transport_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// grouped formats a number as documents do: 16,384.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

// TestLimitsDocument: docs/WIRE.md contains the enforced limits.
func TestLimitsDocument(t *testing.T) {
	page, err := os.ReadFile("../docs/WIRE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, limits, found := strings.Cut(string(page), "\n## Limits\n")
	limits, _, closed := strings.Cut(limits, "\n## ")
	if !found || !closed {
		t.Fatal("docs/WIRE.md has no section Limits")
	}
	undo := len(`{"request":"","result":}`) + base64.StdEncoding.EncodedLen(contract.MaxPayload) + contract.MaxPayload
	for words, bound := range map[string]int{
		"| `ce-id` | %s |":                     transport.MaxID,
		"| `ce-source` | %s |":                 transport.MaxSource,
		"| `ce-type` | %s |":                   transport.MaxType,
		"| `ce-datacontenttype` | %s |":        transport.MaxContentType,
		"| `ce-time`, `ce-expirytime` | %s |":  transport.MaxMoment,
		"| `ce-replyto` | %s |":                transport.MaxSubject,
		"| `ce-code` | %s |":                   transport.MaxCode,
		"| `ce-reason` | %s |":                 transport.MaxReason,
		"is cut; in replies at %s |":           transport.MaxRefusal,
		"| `traceparent` | %s |":               transport.MaxTraceParent,
		"| `tracestate` | %s |":                transport.MaxTraceState,
		"| `Nats-Msg-Id` | %s |":               transport.MaxDedupID,
		"| the prefix of subjects | %s |":      transport.MaxPrefix,
		"| a subject | %s |":                   transport.MaxSubject,
		"as they are encoded | %s |":           transport.MaxAttributes,
		"a result of 256 KiB: %s bytes":        undo,
		"`max_payload` %s bytes at least":      transport.MaxMessage + 32<<10,
		"| a participant's reason | %s KiB |":  contract.MaxReason >> 10,
		"start, command or result | %s KiB |":  contract.MaxPayload >> 10,
		"`contract.MaxDataDepth`) | %s |":      contract.MaxDataDepth,
		"256 KiB in base64 | %s bytes |":       (contract.MaxPayload - 2) / 4 * 3,
		"of a reply, as it is sent | %s bytes": transport.MaxData,
		"operator's name and reason | %s KiB ": contract.MaxReason >> 10,
	} {
		if want := fmt.Sprintf(words, grouped(bound)); !strings.Contains(limits, want) {
			t.Errorf("docs/WIRE.md, Limits, does not say %q", want)
		}
	}
	if undo > transport.MaxData {
		t.Errorf("the largest undo has %d bytes, more than MaxData, %d", undo, transport.MaxData)
	}
}
