package strictjson

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
)

// Decode decodes the JSON of a request into v, which must point to a struct. No data means an empty
// object. The error is an *api.Error with CodeInvalidArgument and, if it is about fields, their
// violations.
func Decode(data []byte, v any) error {
	if len(data) == 0 {
		return nil
	}
	if err := contract.CheckJSONDepth(data, contract.MaxDepth); err != nil {
		return refused("the request: " + err.Error())
	}
	if err := check(bytes.TrimSpace(data), reflect.TypeOf(v).Elem(), ""); err != nil {
		if field, ok := errors.AsType[*fieldError](err); ok && field.path != "" {
			return refused(err.Error(), api.Violation{Field: field.path, Problem: field.problem})
		}
		return refused("the request " + err.Error())
	}
	if err := json.Unmarshal(data, v); err != nil {
		return refused("the request: the JSON cannot be decoded") // impossible after check; err could quote a value
	}
	return checkGiven(data, v)
}

// refused returns the error for an invalid request.
func refused(reason string, violations ...api.Violation) *api.Error {
	return &api.Error{Code: api.CodeInvalidArgument, Reason: reason, Refusal: api.Refusal{Violations: violations}}
}

// fieldError is an error of one field.
type fieldError struct {
	path    string // such as filter.phases[1]; "" for the request itself
	problem string
}

func (e *fieldError) Error() string {
	if e.path == "" {
		return e.problem
	}
	return e.path + ": " + e.problem
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	bytesType    = reflect.TypeFor[[]byte]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	anythingType = reflect.TypeFor[json.RawMessage]()
)

// check returns an error if value, which is valid JSON, is not of type t. path is the path of the
// field.
func check(value []byte, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == anythingType, string(value) == "null" && path != "" && !strings.HasSuffix(path, "]"):
		return nil // null is an absent field
	case t == timeType:
		return checkTime(value, path)
	case t == bytesType:
		return checkBytes(value, path)
	case reflect.PointerTo(t).Implements(textType):
		return checkText(value, t, path)
	}
	switch t.Kind() {
	case reflect.Struct:
		return checkObject(value, t, path)
	case reflect.Slice:
		return checkList(value, t.Elem(), path)
	case reflect.String:
		_, err := stringOf(value, path, "a string")
		return err
	case reflect.Bool:
		if kindOf(value) != "boolean" {
			return mistyped(value, path, "true or false")
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		if _, err := strconv.ParseInt(string(value), 10, t.Bits()); err != nil {
			return mistyped(value, path, "a whole number, without fraction and exponent")
		}
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		if _, err := strconv.ParseUint(string(value), 10, t.Bits()); err != nil {
			return mistyped(value, path, "a whole number from 0, without fraction and exponent")
		}
	case reflect.Float64:
		if _, err := strconv.ParseFloat(string(value), 64); err != nil {
			return mistyped(value, path, "a number")
		}
	default:
		return fmt.Errorf("package strictjson does not support %s", t)
	}
	return nil
}

func checkObject(value []byte, t reflect.Type, path string) error {
	if kindOf(value) != "object" {
		return mistyped(value, path, "an object")
	}
	known := fieldsOf(t)
	for name, member := range members(value) {
		field, ok := known[name]
		if !ok {
			return unknown(name, t, path)
		}
		if path != "" {
			name = path + "." + name
		}
		if err := check(member, field, name); err != nil {
			return err
		}
	}
	return nil
}

func checkList(value []byte, t reflect.Type, path string) error {
	if kindOf(value) != "array" {
		return mistyped(value, path, "a list")
	}
	n := 0
	for _, item := range members(value) {
		if err := check(item, t, fmt.Sprintf("%s[%d]", path, n)); err != nil {
			return err
		}
		n++
	}
	return nil
}

func checkTime(value []byte, path string) error {
	const want = `a time in RFC 3339, such as "2026-11-30T12:00:00Z"`
	if _, err := stringOf(value, path, want); err != nil {
		return err
	}
	if err := new(time.Time).UnmarshalJSON(value); err != nil {
		return &fieldError{path, "is not a time; write " + want}
	}
	return nil
}

func checkBytes(value []byte, path string) error {
	const want = "a string in base64 (RFC 4648 with padding)"
	text, err := stringOf(value, path, want)
	if err != nil {
		return err
	}
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		return &fieldError{path, "is not base64; write " + want}
	}
	return nil
}

// checkText checks a value of a type that implements encoding.TextUnmarshaler.
func checkText(value []byte, t reflect.Type, path string) error {
	text, err := stringOf(value, path, "a string")
	if err != nil {
		return err
	}
	into, _ := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t))
	if err := into.UnmarshalText([]byte(text)); err != nil {
		return &fieldError{path, err.Error()}
	}
	return nil
}

// stringOf decodes a JSON string.
func stringOf(value []byte, path, want string) (text string, err error) {
	if kindOf(value) != "string" || json.Unmarshal(value, &text) != nil {
		return "", mistyped(value, path, want)
	}
	return text, nil
}

// mistyped returns the error for a value of the wrong type.
func mistyped(value []byte, path, want string) error {
	return &fieldError{path, "is a JSON " + kindOf(value) + "; write " + want}
}

// maxName is the maximum length of a name in an error, in bytes.
const maxName = 64

// unknown returns the error for an unknown field of the object at path. The error lists the known
// fields.
func unknown(name string, t reflect.Type, path string) error {
	field := contract.Cut(name, maxName)
	if name == "" {
		return &fieldError{path, "has a field without a name; there are " + strings.Join(names(t, "", 2), ", ")}
	}
	if path != "" {
		field = path + "." + field
	}
	return &fieldError{field, "is unknown; there are " + strings.Join(names(t, "", 2), ", ")}
}
