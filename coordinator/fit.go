package coordinator

import (
	"encoding/base64"
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/transport"
)

// maxReply bounds the encoded data of one reply. Every bus that can carry a saga's commands can
// carry such a reply (I10, I12).
const maxReply = transport.MaxData

// frameRoom bounds the bytes that a reply adds around one saga or event.
const frameRoom = 1 << 10

// encoded returns the size of a value when encoded for a reply, in bytes.
func encoded(v any) int {
	data, err := contract.EncodeJSON(v)
	if err != nil {
		return maxReply + 1 // respond reports the error
	}
	return len(data)
}

// fit shortens a status to at most a number of bytes. It omits results first, starting with the
// last, then the input, and finally truncates reasons. The history still has all of it.
func fit(s *transport.Status, most int) {
	if roughly(s) <= most {
		return
	}
	bare := *s
	bare.Input = withoutData(s.Input)
	bare.Steps = make([]transport.StepStatus, len(s.Steps))
	for i := range s.Steps {
		bare.Steps[i] = withoutResult(s.Steps[i])
	}
	size := encoded(&bare)
	for _, length := range [...]int{briefly, briefly / 4, 0} {
		if size <= most {
			break
		}
		for i := range bare.Steps {
			bare.Steps[i].Reason = shorten(bare.Steps[i].Reason, length)
		}
		size = encoded(&bare)
	}
	if more := encoded(s.Input) - encoded(bare.Input); size+more <= most {
		bare.Input, size = s.Input, size+more
	}
	for i := range s.Steps {
		if more := len(s.Steps[i].Result) - len(bare.Steps[i].Result); size+more <= most {
			bare.Steps[i].Result, bare.Steps[i].LeftOut = s.Steps[i].Result, s.Steps[i].LeftOut
			size += more
		}
	}
	*s = bare
}

// roughly returns a cheap upper bound of encoded. Most sagas are far below it.
func roughly(s *transport.Status) int {
	const step, text = 1 << 10, 6 // bytes per step without text; encoded bytes per byte of text
	size := 2*step + text*(len(s.Reason)+len(s.Problem))
	if s.Paused != nil {
		size += text * (len(s.Paused.By) + len(s.Paused.Reason))
	}
	if s.Input != nil {
		size += text*len(s.Input.ContentType) + len(s.Input.JSON) + base64.StdEncoding.EncodedLen(len(s.Input.Binary))
	}
	for i := range s.Steps {
		size += step + text*len(s.Steps[i].Reason) + len(s.Steps[i].Result)
	}
	return size
}

func withoutData(p *transport.Payload) *transport.Payload {
	if p == nil {
		return nil
	}
	return &transport.Payload{ContentType: p.ContentType, Size: p.Size, LeftOut: true}
}

func withoutResult(s transport.StepStatus) transport.StepStatus {
	note := fmt.Appendf(nil, `"(%s into this reply; the history has all of it)"`, plural.Of(s.ResultSize, "byte that does not fit", "bytes that do not fit"))
	if len(s.Result) > len(note) {
		s.Result, s.LeftOut = note, true
	}
	return s
}
