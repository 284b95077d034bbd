package saga

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// MarshalJSON is the definition's canonical JSON: what its Fingerprint is of and
// what ParseJSON reads. It leaves < > & in expressions as they are; json.Marshal
// escapes them again, which ParseJSON undoes.
func (d *Definition) MarshalJSON() ([]byte, error) { return bytes.Clone(d.canonical), nil }

// canonicalJSON is the one JSON of a spec: fields in the order of the Go types,
// map keys sorted, no white space, nothing escaped that need not be.
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
