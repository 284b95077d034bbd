package saga

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// MarshalJSON returns the definition's canonical JSON, which ParseJSON reads and from which
// Fingerprint is computed. It does not escape < > & in expressions. json.Marshal escapes them in
// its output, and ParseJSON reverts that.
func (d *Definition) MarshalJSON() ([]byte, error) { return bytes.Clone(d.canonical), nil }

// canonicalJSON returns the only canonical JSON of a spec: fields in the order of the Go types,
// sorted map keys, no white space, and no unnecessary escapes.
func canonicalJSON(spec *Spec) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(spec); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func fingerprint(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}
