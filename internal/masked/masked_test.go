package masked_test

import (
	"bytes"
	"testing"

	"github.com/amends-dev/amends/internal/masked"
)

func TestURLs(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "",
		"nats://127.0.0.1:4222":               "nats://127.0.0.1:4222",
		"nats://ada:swordfish@h:4222":         "nats://********@h:4222",
		"nats://swordfish@h":                  "nats://********@h",
		"ada:swordfish@h:4222":                "********@h:4222",
		"nats://ada:sword/fish@h":             "nats://********@h",
		"nats://ada:sword@fish@h":             "nats://********@h",
		"nats://ada:sword fish@h:%zz":         "nats://********@h:%zz",
		"nats://ada:sw?rdfish@h":              "nats://********@h",
		"http://h:4318/v1?api_key=swordfish":  "http://h:4318/v1?********",
		"ada:x@h?key=swordfish,i?k=swordfish": "********@h?********,i?********",
		"nats://a:swordfish@h, tls://b@i,c:1": "nats://********@h, tls://********@i,c:1",
	} {
		if got := masked.URLs(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"no URL, ada@example.com":                                 "no URL, ada@example.com",
		`parse "nats://ada:swordfish@h:%zz": invalid`:             `parse "nats://********@h:%zz": invalid`,
		"at http://swordfish@h/x and https://a:swordfish@i/y?z=1": "at http://********@h/x and https://********@i/y?********",
		`{"nats":"nats://h:1","by":"ada@example.com"}`:            `{"nats":"nats://h:1","by":"ada@example.com"}`,
		"see https://example.com, and write to ada@example.com":   "see https://example.com, and write to ada@example.com",
		`Post "http://h/x?key=swordfish": refused`:                `Post "http://h/x?********": refused`,
		"nats://ada:sw?rd@h/x?k=swordfish is it there?":           "nats://********@h/x?******** is it there?",
		"nats://ada:sword/f@ish@h":                                "nats://********@h",
	} {
		if got := masked.Text(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
		var out bytes.Buffer
		if n, err := masked.Writer(&out).Write([]byte(in)); n != len(in) || err != nil || out.String() != want {
			t.Errorf("%q is written as %q: %d, %v", in, out.String(), n, err)
		}
	}
}
