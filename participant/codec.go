package participant

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// octets is the content type of a result that is a []byte.
const octets = "application/octet-stream"

// body is encoded data.
type body struct {
	contentType string // "" means JSON
	data        []byte
}

// input is the data of a command before it is decoded.
type input struct {
	request  body
	result   body // for an undo, the do's result; empty or null if unknown
	recorded bool // whether the result comes from the inbox instead of the coordinator
}

// resultKnown reports whether the do's result is available to an undo.
func (in input) resultKnown() bool {
	return in.recorded || !blank(in.result.data)
}

// parseUndo splits the data of an undo command: {"request": …, "result": …}.
func parseUndo(data []byte) (in input, err error) {
	var frame struct {
		Request json.RawMessage `json:"request"`
		Result  json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(data, &frame); err != nil {
		return in, fmt.Errorf(`the data of an undo must have the form {"request": …, "result": … or null}: %s`, wrong(data, nil, err))
	}
	in.request.data, in.result.data = frame.Request, frame.Result
	return in, nil
}

// decode decodes data as a T. For a []byte, it returns the data unchanged, except that it decodes a
// JSON string as base64, as encoding/json does. A json.RawMessage accepts any JSON. Every other
// type is decoded from JSON. Unknown fields are ignored, so that a sender may add fields.
func decode[T any](what string, b body) (v T, err error) {
	t := reflect.TypeFor[T]()
	if isBytes(t) && (!contract.IsJSON(b.contentType) || !quoted(b.data)) {
		reflect.ValueOf(&v).Elem().SetBytes(b.data)
		return v, nil
	}
	if raw, ok := any(&v).(*json.RawMessage); ok && !contract.IsJSON(b.contentType) {
		*raw = b.data
		return v, nil
	}
	switch {
	case !contract.IsJSON(b.contentType):
		return v, fmt.Errorf("the %s has content type %s, but %s is decoded from %s", what, b.contentType, t, transport.JSON)
	case blank(b.data) && optional(t):
		return v, nil
	case blank(b.data):
		return v, fmt.Errorf("the %s is empty; expected JSON like %s", what, shape(t))
	}
	if err := json.Unmarshal(b.data, &v); err != nil {
		return v, fmt.Errorf("the %s is not JSON like %s: %s", what, shape(t), wrong(b.data, t, err))
	}
	return v, nil
}

// wrong describes the problem with data that was decoded as a t. Unlike err, the description does not
// quote the data: it becomes the reason of a failure, which more people can see than the data.
func wrong(data []byte, t reflect.Type, err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		if int(syntax.Offset) >= len(data) {
			return "it ends too early"
		}
		return fmt.Sprintf("unexpected byte at offset %d", syntax.Offset)
	}
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(mistyped.Value, " ") // for a number, the kind is followed by the value
		field := ownPath(t, mistyped.Field)
		if field == "" {
			return fmt.Sprintf("a JSON %s does not fit %s", kind, mistyped.Type)
		}
		return fmt.Sprintf("the JSON %s in %s does not fit %s", kind, field, mistyped.Type)
	}
	return "a value in it cannot be read"
}

// ownPath returns the first part of a path in the JSON of a t: the names of fields of t, up to the
// first map. Since Go 1.27, the path of an error also has indexes and the keys of maps, which are
// data.
func ownPath(t reflect.Type, path string) string {
	var own []string
	for name := range strings.SplitSeq(path, ".") {
		for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
			t = t.Elem()
		}
		if strings.Trim(name, "0123456789") == "" {
			continue
		}
		if t == nil || t.Kind() != reflect.Struct {
			break
		}
		field, ok := fieldNamed(t, name)
		if !ok {
			break
		}
		own, t = append(own, name), field.Type
	}
	return strings.Join(own, ".")
}

// fieldNamed returns the field of a struct with a JSON name, or the embedded struct with a name.
func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous && f.Name == name || f.IsExported() && jsonName(f) == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// jsonName returns the name of a field in JSON, or "-".
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return cmp.Or(name, f.Name)
}

// encode returns the data of a completed answer. It returns an error if the coordinator would
// refuse the data as a bad result.
func encode[T any](v T) ([]byte, error) {
	if isBytes(reflect.TypeFor[T]()) {
		data := reflect.ValueOf(&v).Elem().Bytes()
		return data, checkSize(base64.StdEncoding.EncodedLen(len(data))+len(`""`), " in base64, as the coordinator keeps it")
	}
	if raw, ok := any(v).(json.RawMessage); ok && len(raw) > 0 {
		return raw, checkResult(raw)
	}
	data, err := contract.EncodeJSON(v)
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	return data, checkResult(data)
}

func checkResult(data []byte) error {
	if err := checkSize(len(data), ""); err != nil {
		return err
	}
	if err := contract.CheckJSON(data); err != nil {
		return fmt.Errorf("%s: the result is not valid JSON: %w", contract.ClassBadResult, err)
	}
	return nil
}

func checkSize(size int, how string) error {
	if size > MaxResult {
		return fmt.Errorf("%s: the result is %d bytes%s, at most %d (MaxResult): store large data elsewhere and return a reference", contract.ClassBadResult, size, how, MaxResult)
	}
	return nil
}

// contentTypeOf returns the content type of an encoded T.
func contentTypeOf[T any]() string {
	if isBytes(reflect.TypeFor[T]()) {
		return octets
	}
	return transport.JSON
}

// isBytes reports whether values of a type are bytes rather than JSON.
func isBytes(t reflect.Type) bool {
	unmarshals := reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && !unmarshals
}

func quoted(data []byte) bool {
	data = bytes.TrimSpace(data)
	return len(data) > 1 && data[0] == '"'
}

// blank reports whether data is empty or a JSON null.
func blank(data []byte) bool {
	data = bytes.TrimSpace(data)
	return len(data) == 0 || string(data) == "null"
}

// optional reports whether a type can represent a missing value.
func optional(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	case reflect.Struct:
		return t.NumField() == 0
	}
	return false
}

// shape returns the JSON form of a type for an error message.
func shape(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return "json.RawMessage" // renamed to jsontext.Value in Go 1.27
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return t.String()
	}
	var fields []string
	for _, f := range reflect.VisibleFields(t) {
		name := jsonName(f)
		if !f.IsExported() || f.Anonymous || name == "-" {
			continue
		}
		fields = append(fields, fmt.Sprintf("%q: %s", name, f.Type))
	}
	return t.String() + " {" + strings.Join(fields, ", ") + "}"
}
