package schema

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/amends-dev/amends/saga/internal/quote"
)

// Errors of numbers, in words that contain no data.
const (
	NotInteger = "is not a 64-bit integer written without fraction and exponent"
	OutOfRange = "is a number that is out of range"
)

// JSONError says where and why data is not JSON.
type JSONError struct {
	Said string // quotes no data; begins with "is not JSON: "
	Full string // quotes the data if that is more precise; otherwise empty
}

// Error says where and why the data is not JSON, without quoting it.
func (e *JSONError) Error() string { return "the data " + e.Said }

// ReadJSON decodes data as encoding/json does with UseNumber.
func ReadJSON(data []byte) (any, *JSONError) {
	not := func(how string) *JSONError { return &JSONError{Said: "is not JSON: " + how} }
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, not("it is empty")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var raw any
	if err := decoder.Decode(&raw); err != nil {
		syntax, ok := errors.AsType[*json.SyntaxError](err)
		if !ok {
			return nil, not("it ends too early")
		}
		wrong := not(quote.Position(data, syntax.Offset-1))
		wrong.Full = wrong.Said + ": " + syntax.Error()
		return nil, wrong
	}
	if decoder.More() {
		return nil, not("there is data after its end")
	}
	return raw, nil
}

// KindOf names the kind of a JSON value for a message.
func KindOf(raw any) string {
	switch raw.(type) {
	case nil:
		return "null"
	case bool:
		return "a bool"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}
