package wiretest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// VectorsPath returns the path of proto/testdata/vectors.json, for any package of the repository.
func VectorsPath() string { return filepath.Join(filepath.Dir(Path("")), "vectors.json") }

// Vector is a test vector of the requests' JSON. If Error is empty, JSON and Protobuf are encodings
// of the same message. Otherwise Text is JSON that is refused.
type Vector struct {
	Message string `json:"message"` // name in api.proto
	Note    string `json:"note"`    // what the vector shows; unique together with Message

	JSON     json.RawMessage `json:"json,omitempty"`    // as the coordinator encodes it
	Also     []string        `json:"also,omitempty"`    // other JSON for the same message
	Protobuf []byte          `json:"protobuf,omitzero"` // fields in the order of their numbers

	Text  string `json:"text,omitempty"`
	Error string `json:"error,omitempty"` // part of the coordinator's error
}

// String returns the name of the vector, as programs print it.
func (v *Vector) String() string { return v.Message + ", " + v.Note }

// Vectors returns the vectors in the file.
func Vectors() ([]Vector, error) {
	data, err := os.ReadFile(VectorsPath())
	if err != nil {
		return nil, fmt.Errorf("read the test vectors: %w", err)
	}
	var all []Vector
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&all); err != nil {
		return nil, fmt.Errorf("read the test vectors: %w", err)
	}
	return all, nil
}
