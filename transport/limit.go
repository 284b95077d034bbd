package transport

import (
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/amends-dev/amends/contract"
)

// Limits on an envelope's attributes, in bytes of their unencoded values (I10). They are enforced
// on received messages (SetAttribute) and on created ones. Therefore the attributes of a message
// together never exceed MaxAttributes, and a coordinator can send everything that it has accepted.
// Package contract defines the limits on names and saga ids.
const (
	// MaxID bounds the CloudEvents id. The ids of Amends have at most 252 bytes.
	MaxID = 512
	// MaxSource bounds the CloudEvents source.
	MaxSource = 256
	// MaxType bounds the CloudEvents type.
	MaxType = 128
	// MaxContentType bounds the media type of data.
	MaxContentType = 255
	// MaxReason bounds the reason of a message on a stream. It covers the reason of a participant
	// or operator (contract.MaxReason) and what a coordinator adds. A longer reason is cut.
	MaxReason = 2 << 10
	// MaxRefusal bounds the reason of a reply, which is not stored and may list all problems of a
	// definition. A longer reason is cut.
	MaxRefusal = 16 << 10
	// MaxCode bounds the code of a refused request.
	MaxCode = 64
	// MaxMoment bounds the text of a time.
	MaxMoment = 64
	// MaxDedupID bounds the deduplication id. A longer id is not used.
	MaxDedupID = 128
	// MaxTraceParent is the length of a W3C traceparent of version 00, the only version that is
	// sent.
	MaxTraceParent = 55
	// MaxTraceState bounds a W3C tracestate. A longer tracestate is dropped.
	MaxTraceState = 512
	// MaxPrefix bounds Subjects.Prefix.
	MaxPrefix = 64
	// MaxSubject bounds a subject. With the longest prefix and names, a subject has at most 368
	// bytes. A NATS server allows 4,096 for subject and reply subject together (max_control_line).
	MaxSubject = 512

	// MaxAttributes bounds all attributes of a message together, including names and encoding.
	// JetStream allows 65,535 bytes of headers, and a dead letter carries the headers of its
	// message in addition to its own.
	MaxAttributes = 16 << 10
	// MaxData bounds the data of a message on a stream. The data of an undo are the largest:
	// {"request": …, "result": …}, with the request in base64 if it is not JSON.
	MaxData = contract.MaxPayload*4/3 + contract.MaxPayload + 64
	// MaxMessage bounds a message on a stream, with data, attributes, subject and framing.
	MaxMessage = MaxData + MaxAttributes + MaxSubject + 64
)

// bounds holds the limits that SetAttribute enforces with an error, by attribute. Some other
// attributes are bounded by their format (names, numbers, words). A longer AttrReason is cut, and a
// longer trace context is dropped.
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

// leastBound is the smallest limit in bounds. Nearly all values are shorter.
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

// tooLong describes the length of a value that exceeds its limit.
func tooLong(have, most int) string {
	return fmt.Sprintf("is %d bytes long; at most %d are allowed", have, most)
}

// CheckLength returns an error if value has more than most bytes. The error contains the field, the
// length and the limit, but not the value.
func CheckLength(field, value string, most int) error {
	if len(value) > most {
		return fmt.Errorf("%s %s", field, tooLong(len(value), most))
	}
	return nil
}

// ContentTypeError wraps the *AttributeError of an invalid or too long content type. If an answer
// (Envelope.IsAnswer) has no other problem, its outcome still counts. Only its data cannot be used.
type ContentTypeError struct{ error }

// Unwrap returns the *AttributeError.
func (e *ContentTypeError) Unwrap() error { return e.error }

// CheckContentType returns an error unless value is valid. A valid value is empty, which means
// JSON, or a media type of at most MaxContentType bytes for data in binary mode. The error is a
// *ContentTypeError, or an *AttributeError for the structured mode of CloudEvents.
func CheckContentType(value string) error {
	if value == "" {
		return nil
	}
	return checkMediaType(AttrContentType, value)
}

func checkMediaType(name, value string) error {
	if value == JSON { // the most frequent value
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

// CheckPrefix returns an error unless prefix is a valid prefix of subjects. A valid prefix is
// printable ASCII of at most MaxPrefix bytes, or "" for the default.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := CheckLength("the prefix of subjects", prefix, MaxPrefix); err != nil {
		return err
	}
	if i := strings.IndexFunc(prefix, func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
		return fmt.Errorf("the prefix of subjects %q has a non-ASCII character at position %d: use letters, digits and single dots, such as shop.eu", prefix, i)
	}
	return CheckSubject(prefix)
}
