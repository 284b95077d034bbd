package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/amends-dev/amends/saga/internal/quote"
)

// jsonWriter writes CEL values as JSON: with sorted keys, without white space, and up to a maximum
// number of bytes.
type jsonWriter struct {
	buffer  bytes.Buffer
	encoder *json.Encoder
	most    int
	full    bool // whether the maximum was exceeded
}

func newJSONWriter(most int) *jsonWriter {
	w := &jsonWriter{most: most}
	w.encoder = json.NewEncoder(&w.buffer)
	w.encoder.SetEscapeHTML(false)
	return w
}

func (w *jsonWriter) check() error {
	if w.buffer.Len() > w.most {
		w.full = true
		return &dataFault{fault: faultLong}
	}
	return nil
}

// plain writes a value that encoding/json can encode.
func (w *jsonWriter) plain(v any) error {
	if err := w.encoder.Encode(v); err != nil {
		return err
	}
	w.buffer.Truncate(w.buffer.Len() - 1) // the encoder appends a line break
	return w.check()
}

func (w *jsonWriter) value(v ref.Val) error {
	switch v := v.(type) {
	case types.Null:
		return w.plain(nil)
	case types.Bool:
		return w.plain(bool(v))
	case types.Int:
		return w.plain(int64(v))
	case types.Uint:
		return w.plain(uint64(v))
	case types.String:
		return w.plain(string(v))
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return &dataFault{fault: faultForm, full: fmt.Sprintf("the number %v cannot be represented in JSON", float64(v))}
		}
		return w.plain(float64(v))
	case *written:
		return w.plain(v.text)
	case types.Bytes:
		return w.plain(base64.StdEncoding.EncodeToString(v))
	case types.Timestamp:
		return w.plain(v.Time.UTC().Format(time.RFC3339Nano))
	case *object:
		return w.raw(v.raw)
	case *types.Optional:
		if v.HasValue() {
			return w.value(v.GetValue())
		}
		return w.plain(nil)
	case *types.Err:
		return v
	case traits.Mapper:
		return w.mapper(v)
	case traits.Lister:
		return w.list(v)
	}
	return &dataFault{fault: faultForm, full: fmt.Sprintf("a %s cannot be represented in JSON; convert it, for example with string()", v.Type().TypeName())}
}

func (w *jsonWriter) list(l traits.Lister) error {
	w.buffer.WriteByte('[')
	first := true
	for it := l.Iterator(); it.HasNext() == types.True; {
		if !first {
			w.buffer.WriteByte(',')
		}
		first = false
		if err := errors.Join(w.value(it.Next()), w.check()); err != nil {
			return err
		}
	}
	w.buffer.WriteByte(']')
	return w.check()
}

func (w *jsonWriter) mapper(m traits.Mapper) error {
	fields := map[string]ref.Val{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.ConvertToType(types.StringType).(types.String)
		if !ok {
			return &dataFault{fault: faultMapKey, full: fmt.Sprintf("a map key of type %s cannot be represented in JSON; use strings", key.Type().TypeName())}
		}
		if _, twice := fields[string(name)]; twice {
			return &dataFault{fault: faultMapKey, full: fmt.Sprintf("the map has the key %q twice in JSON; use strings as keys", quote.Short(string(name)))}
		}
		fields[string(name)] = m.Get(key)
	}
	return writeObject(w, fields, w.value)
}

// raw writes a value that encoding/json has decoded.
func (w *jsonWriter) raw(v any) error {
	switch v := v.(type) {
	case map[string]any:
		return writeObject(w, v, w.raw)
	case []any:
		w.buffer.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				w.buffer.WriteByte(',')
			}
			if err := w.raw(item); err != nil {
				return err
			}
		}
		w.buffer.WriteByte(']')
		return w.check()
	}
	return w.plain(v)
}

func writeObject[V any](w *jsonWriter, fields map[string]V, write func(V) error) error {
	w.buffer.WriteByte('{')
	for i, name := range sortedKeys(fields) {
		if i > 0 {
			w.buffer.WriteByte(',')
		}
		if err := w.plain(name); err != nil {
			return err
		}
		w.buffer.WriteByte(':')
		if err := write(fields[name]); err != nil {
			return err
		}
	}
	w.buffer.WriteByte('}')
	return w.check()
}
