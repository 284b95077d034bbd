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

	"github.com/amends-dev/amends/contract"
)

// FieldError is an error of one field.
type FieldError struct {
	Field   string // path of the field, such as filter.phases[1]
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Given is implemented by requests with fields that must not be empty if they are given.
type Given interface {
	// CheckGiven returns an error if such a field is empty. data is the request as valid JSON.
	CheckGiven(data []byte) error
}

// Decode decodes JSON into v, which must point to a struct. No data means an empty object. The
// error is a *FieldError, the error of CheckGiven, or an error about the data as a whole.
func Decode(data []byte, v any) error {
	if len(data) == 0 {
		return nil
	}
	if err := contract.CheckJSONDepth(data, contract.MaxDepth); err != nil {
		return err
	}
	if err := check(bytes.TrimSpace(data), reflect.TypeOf(v).Elem(), ""); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errors.New("the JSON cannot be decoded") // impossible after check; err could quote a value
	}
	if given, ok := v.(Given); ok {
		return given.CheckGiven(data)
	}
	return nil
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
		return &FieldError{path, "is not a time; write " + want}
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
		return &FieldError{path, "is not base64; write " + want}
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
		return &FieldError{path, err.Error()}
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
	problem := "is a JSON " + kindOf(value) + "; write " + want
	if path == "" {
		return errors.New(problem)
	}
	return &FieldError{path, problem}
}

// maxName is the maximum length of a name in an error, in bytes.
const maxName = 64

// unknown returns the error for an unknown field of the object at path. The error lists the known
// fields.
func unknown(name string, t reflect.Type, path string) error {
	problem := fmt.Sprintf("unknown field %q; there are %s", contract.Cut(name, maxName), strings.Join(names(t, "", 2), ", "))
	if path == "" {
		return errors.New(problem)
	}
	return &FieldError{path, problem}
}
