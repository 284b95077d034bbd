//go:build go1.27 && goexperiment.jsonv2

package contract

import (
	"encoding/json"
	"encoding/json/jsontext"
	jsonv2 "encoding/json/v2"
)

// encodeUnescaped encodes v as JSON and escapes nothing in JSON values in v. With the implementation
// of encoding/json since Go 1.27, Encoder.SetEscapeHTML(false) still escapes the line separators.
func encodeUnescaped(v any) ([]byte, error) {
	return jsonv2.Marshal(v, json.DefaultOptionsV1(), jsontext.EscapeForHTML(false), jsontext.EscapeForJS(false))
}
