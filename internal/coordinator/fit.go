package coordinator

import (
	"encoding/base64"
	"slices"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
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

// fit shortens a status to at most the given number of bytes. It omits results first, starting with
// the last, then the input, and finally truncates reasons. The history still contains everything.
func fit(s *api.Saga, most int) {
	if roughly(s) <= most {
		return
	}
	bare := *s
	bare.Input = withoutData(s.Input)
	bare.Steps = slices.Clone(s.Steps)
	for i := range bare.Steps {
		bare.Steps[i].Result = withoutData(s.Steps[i].Result)
	}
	size := encoded(&bare)
	for _, length := range [...]int{briefly, briefly / 4, 0} {
		if size <= most {
			break
		}
		for i := range bare.Steps {
			bare.Steps[i].Reason = contract.Cut(bare.Steps[i].Reason, length)
		}
		size = encoded(&bare)
	}
	if more := encoded(s.Input) - encoded(bare.Input); size+more <= most {
		bare.Input, size = s.Input, size+more
	}
	for i := range s.Steps {
		if s.Steps[i].Result == nil {
			continue
		}
		if more := encoded(s.Steps[i].Result) - encoded(bare.Steps[i].Result); size+more <= most {
			bare.Steps[i].Result = s.Steps[i].Result
			size += more
		}
	}
	*s = bare
}

// roughly returns an upper bound of encoded that is cheap to compute. For most sagas it is far
// below maxReply.
func roughly(s *api.Saga) int {
	const step, text = 1 << 10, 6 // bytes per step without text; encoded bytes per byte of text
	size := 2*step + text*(len(s.Reason)+len(s.Problem))
	if s.Paused != nil {
		size += text * (len(s.Paused.By) + len(s.Paused.Reason))
	}
	data := func(p *api.Payload) int {
		if p == nil {
			return 0
		}
		return text*len(p.ContentType) + len(p.JSON) + base64.StdEncoding.EncodedLen(len(p.Binary))
	}
	size += data(s.Input)
	for i := range s.Steps {
		size += step + text*len(s.Steps[i].Reason) + data(s.Steps[i].Result)
	}
	return size
}

func withoutData(p *api.Payload) *api.Payload {
	if p == nil {
		return nil
	}
	return &api.Payload{ContentType: p.ContentType, SizeBytes: p.SizeBytes, LeftOut: true}
}
