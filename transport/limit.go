package transport

import (
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/amends-dev/amends/contract"
)

// Bounds of an envelope's attributes, in bytes of their plain values (I10). They
// are held where a message comes in (SetAttribute) and where one is made, so that
// all attributes of a message together stay within MaxAttributes and whatever a
// coordinator accepted it can also send. Names and saga ids have the bounds of
// package contract.
const (
	// MaxID bounds the CloudEvents id. Ours have at most 252 bytes.
	MaxID = 512
	// MaxSource bounds the CloudEvents source.
	MaxSource = 256
	// MaxType bounds the CloudEvents type.
	MaxType = 128
	// MaxContentType bounds the media type of data.
	MaxContentType = 255
	// MaxReason bounds the reason of a message on a stream: that of a participant or
	// operator (contract.MaxReason) with what a coordinator says around it. Longer
	// ones are cut.
	MaxReason = 2 << 10
	// MaxRefusal bounds the reason of a reply, which may list everything that is
	// wrong with a definition and is stored nowhere. Longer ones are cut.
	MaxRefusal = 16 << 10
	// MaxCode bounds the code of a refused request.
	MaxCode = 64
	// MaxMoment bounds a time as text.
	MaxMoment = 64
	// MaxDedupID bounds the id by which a bus deduplicates. A longer one is not used.
	MaxDedupID = 128
	// MaxTraceParent is the length of a W3C traceparent of version 00, the only one
	// that is sent.
	MaxTraceParent = 55
	// MaxTraceState bounds a W3C tracestate. A longer one is dropped.
	MaxTraceState = 512
	// MaxPrefix bounds Subjects.Prefix.
	MaxPrefix = 64
	// MaxSubject bounds a subject, which with the longest prefix and names has at
	// most 368 bytes. A NATS server takes 4,096 of subject and reply subject together
	// (max_control_line).
	MaxSubject = 512

	// MaxAttributes bounds all attributes of a message on a stream together, names
	// and encoding included. JetStream takes 65,535 bytes of headers, and a dead
	// letter has those of the message that it holds beside its own.
	MaxAttributes = 16 << 10
	// MaxData bounds the data of a message on a stream. The largest is that of an
	// undo: {"request": …, "result": …}, the request in base64 if it is not JSON.
	MaxData = contract.MaxPayload*4/3 + contract.MaxPayload + 64
	// MaxMessage bounds a message on a stream: its data, its attributes, its subject
	// and what frames them.
	MaxMessage = MaxData + MaxAttributes + MaxSubject + 64
)

// bounds are those that SetAttribute holds by refusing, by the attribute's name.
// The others have a form that bounds them (names, numbers, words), are cut
// (AttrReason) or dropped (trace context).
var bounds = map[string]int{
	AttrID:          MaxID,
	AttrSource:      MaxSource,
	AttrType:        MaxType,
	AttrTime:        MaxMoment,
	AttrContentType: MaxContentType,
	"content-type":  MaxContentType,
	AttrReplyTo:     MaxSubject,
	AttrExpires:     MaxMoment,
	AttrCode:        MaxCode,
}

// leastBound is the least of bounds: nearly all values are shorter.
const leastBound = min(MaxID, MaxSource, MaxType, MaxMoment, MaxContentType, MaxSubject, MaxCode)

// checkLength refuses a value that is longer than its attribute may be.
func checkLength(name, value string) error {
	if len(value) <= leastBound {
		return nil
	}
	if most, bounded := bounds[name]; bounded && len(value) > most {
		return BadAttribute(name, value, tooLong(len(value), most))
	}
	return nil
}

// tooLong is what is wrong with something that has a bound.
func tooLong(have, most int) string {
	return fmt.Sprintf("is %d bytes long, at most %d are allowed", have, most)
}

// CheckLength returns an error that names the field, its length and its bound if
// value has more than most bytes. It shows nothing of the value.
func CheckLength(field, value string, most int) error {
	if len(value) > most {
		return fmt.Errorf("%s %s", field, tooLong(len(value), most))
	}
	return nil
}

// ContentTypeError is the *AttributeError of a content type that is too long or none
// at all. A message that has no other fault and is an answer (Envelope.IsAnswer) is
// one all the same: its sender says how it went, with data that cannot be used.
type ContentTypeError struct{ error }

// Unwrap is the *AttributeError.
func (e *ContentTypeError) Unwrap() error { return e.error }

// CheckContentType returns an error unless value is the media type of data in binary
// mode, with at most MaxContentType bytes, or empty, which means JSON. It is a
// *ContentTypeError, or the *AttributeError of CloudEvents' structured mode.
func CheckContentType(value string) error {
	if value == "" {
		return nil
	}
	return checkMediaType(AttrContentType, value)
}

func checkMediaType(name, value string) error {
	if value == JSON { // which nearly every message is
		return nil
	}
	if err := checkLength(name, value); err != nil {
		return &ContentTypeError{err}
	}
	media, _, err := mime.ParseMediaType(value)
	if err != nil {
		return &ContentTypeError{BadAttribute(name, value, "is not a media type such as application/json")}
	}
	if strings.HasPrefix(media, "application/cloudevents") {
		return BadAttribute(name, value, "is CloudEvents' structured or batched mode; send binary mode: attributes as headers, data as the body")
	}
	return nil
}

// Cut shortens text to most bytes, on a rune boundary and with an ellipsis, and
// makes it valid UTF-8.
func Cut(text string, most int) string {
	if len(text) <= most && utf8.ValidString(text) {
		return text
	}
	if len(text) > most {
		text = text[:most] // what is behind it need not be looked at
		end := len(text) - len("…")
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		return strings.ToValidUTF8(text[:max(end, 0)], "?") + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// CheckPrefix returns an error unless prefix may stand before every subject, ""
// for the default: at most MaxPrefix bytes, of printable ASCII.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := CheckLength("the prefix of subjects", prefix, MaxPrefix); err != nil {
		return err
	}
	if i := strings.IndexFunc(prefix, func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
		return fmt.Errorf("the prefix of subjects %q has a character beyond ASCII at position %d: use letters, digits and single dots, such as shop.eu", prefix, i)
	}
	return CheckSubject(prefix)
}
