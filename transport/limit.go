package transport

import (
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/amends-dev/amends/contract"
)

// Limits on an envelope's attributes, in bytes of their plain values (I10). They are enforced when
// a message is received (SetAttribute) and when one is created, so that all attributes of a message
// fit MaxAttributes and a coordinator can send whatever it has accepted. Limits on names and saga
// ids are in package contract.
const (
	// MaxID bounds the CloudEvents id. Amends's own have at most 252 bytes.
	MaxID = 512
	// MaxSource bounds the CloudEvents source.
	MaxSource = 256
	// MaxType bounds the CloudEvents type.
	MaxType = 128
	// MaxContentType bounds the media type of data.
	MaxContentType = 255
	// MaxReason bounds the reason of a message on a stream: the participant's or operator's
	// (contract.MaxReason) plus what a coordinator adds. Longer ones are cut.
	MaxReason = 2 << 10
	// MaxRefusal bounds the reason of a reply, which may list everything wrong with a definition
	// and is not stored. Longer ones are cut.
	MaxRefusal = 16 << 10
	// MaxCode bounds the code of a refused request.
	MaxCode = 64
	// MaxMoment bounds a time as text.
	MaxMoment = 64
	// MaxDedupID bounds the deduplication id. A longer one is not used.
	MaxDedupID = 128
	// MaxTraceParent is the length of a W3C traceparent of version 00, the only version sent.
	MaxTraceParent = 55
	// MaxTraceState bounds a W3C tracestate. A longer one is dropped.
	MaxTraceState = 512
	// MaxPrefix bounds Subjects.Prefix.
	MaxPrefix = 64
	// MaxSubject bounds a subject; with the longest prefix and names it has at most 368 bytes. A
	// NATS server allows 4,096 for subject and reply subject together (max_control_line).
	MaxSubject = 512

	// MaxAttributes bounds all attributes of a message together, including names and encoding.
	// JetStream allows 65,535 bytes of headers, and a dead letter carries its message's headers
	// besides its own.
	MaxAttributes = 16 << 10
	// MaxData bounds the data of a message on a stream. The largest is an undo's: {"request": …,
	// "result": …}, with the request in base64 if it is not JSON.
	MaxData = contract.MaxPayload*4/3 + contract.MaxPayload + 64
	// MaxMessage bounds a message on a stream: data, attributes, subject and framing.
	MaxMessage = MaxData + MaxAttributes + MaxSubject + 64
)

// bounds are the limits that SetAttribute enforces with an error, by attribute. Other attributes
// are bounded by their format (names, numbers, words), cut (AttrReason) or dropped (trace context).
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

// leastBound is the smallest of bounds: nearly all values are shorter.
const leastBound = min(MaxID, MaxSource, MaxType, MaxMoment, MaxContentType, MaxSubject, MaxCode)

// checkLength returns an error if a value exceeds its attribute's limit.
func checkLength(name, value string) error {
	if len(value) <= leastBound {
		return nil
	}
	if most, bounded := bounds[name]; bounded && len(value) > most {
		return BadAttribute(name, value, tooLong(len(value), most))
	}
	return nil
}

// tooLong describes what is wrong with a value that exceeds its limit.
func tooLong(have, most int) string {
	return fmt.Sprintf("is %d bytes long, at most %d are allowed", have, most)
}

// CheckLength returns an error that names the field, its length and its limit if value has more
// than most bytes. It does not quote the value.
func CheckLength(field, value string, most int) error {
	if len(value) > most {
		return fmt.Errorf("%s %s", field, tooLong(len(value), most))
	}
	return nil
}

// ContentTypeError is the *AttributeError of an invalid or too long content type. If a message has
// no other fault and is an answer (Envelope.IsAnswer), its outcome still counts; only its data
// cannot be used.
type ContentTypeError struct{ error }

// Unwrap returns the *AttributeError.
func (e *ContentTypeError) Unwrap() error { return e.error }

// CheckContentType returns an error unless value is a media type for data in binary mode with at
// most MaxContentType bytes, or empty, which means JSON. The error is a *ContentTypeError, or an
// *AttributeError for CloudEvents' structured mode.
func CheckContentType(value string) error {
	if value == "" {
		return nil
	}
	return checkMediaType(AttrContentType, value)
}

func checkMediaType(name, value string) error {
	if value == JSON { // the usual case
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

// Cut shortens text to most bytes, on a rune boundary and with an ellipsis, and makes it valid
// UTF-8.
func Cut(text string, most int) string {
	if len(text) <= most && utf8.ValidString(text) {
		return text
	}
	if len(text) > most {
		text = text[:most] // the rest need not be scanned
		end := len(text) - len("…")
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		return strings.ToValidUTF8(text[:max(end, 0)], "?") + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// CheckPrefix returns an error unless prefix is a valid prefix of subjects: printable ASCII, at
// most MaxPrefix bytes; "" means the default.
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
