//go:build !(go1.27 && goexperiment.jsonv2)

package contract

import (
	"bytes"
	"encoding/json"
)

// encodeUnescaped encodes v as JSON and escapes nothing in JSON values in v.
func encodeUnescaped(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
