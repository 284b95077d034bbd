package sagapb

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga"
)

// MarshalDefinition makes bytes of a definition: what it says, and its
// fingerprint.
func MarshalDefinition(d *saga.Definition) ([]byte, error) {
	spec, err := specMessage(d.Spec())
	if err == nil {
		var out []byte
		if out, err = protoconv.Append(nil, &amendsv1.Definition{Spec: spec, Fingerprint: d.Fingerprint()}); err == nil {
			return out, nil
		}
	}
	return nil, fmt.Errorf("write down definition %s: %w", d.Ref(), err)
}

// UnmarshalDefinition reads what MarshalDefinition wrote and checks it again, as
// saga.New does: a definition that this release would refuse is an error, and so
// is one whose fingerprint has become another.
func UnmarshalDefinition(data []byte) (*saga.Definition, error) {
	m := new(amendsv1.Definition)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read a definition: %w", err)
	}
	d, err := fromDefinition(m)
	if err != nil {
		return nil, fmt.Errorf("read definition %.64q version %d: %w", m.Spec.GetName(), m.Spec.GetVersion(), err)
	}
	return d, nil
}

// MarshalSpec makes bytes of a definition that was not checked.
func MarshalSpec(s saga.Spec) ([]byte, error) {
	m, err := specMessage(s)
	if err == nil {
		var out []byte
		if out, err = protoconv.Append(nil, m); err == nil {
			return out, nil
		}
	}
	return nil, fmt.Errorf("write down definition %.64q version %d: %w", s.Name, s.Version, err)
}

// UnmarshalSpec reads what MarshalSpec wrote. It does not check what it says;
// saga.New does.
func UnmarshalSpec(data []byte) (saga.Spec, error) {
	m := new(amendsv1.Spec)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return saga.Spec{}, fmt.Errorf("read a definition: %w", err)
	}
	s, err := fromSpec(m)
	if err != nil {
		return saga.Spec{}, fmt.Errorf("read definition %.64q version %d: %w", m.Name, m.Version, err)
	}
	return s, nil
}

func fromDefinition(m *amendsv1.Definition) (*saga.Definition, error) {
	if m.Spec == nil {
		return nil, errors.New("spec is missing")
	}
	spec, err := fromSpec(m.Spec)
	if err != nil {
		return nil, err
	}
	d, err := saga.New(spec)
	if err != nil {
		return nil, err
	}
	if d.Fingerprint() != m.Fingerprint {
		return nil, fmt.Errorf("its fingerprint is %.64q, and it was stored as %.64q: the record is damaged", d.Fingerprint(), m.Fingerprint)
	}
	return d, nil
}

func specMessage(s saga.Spec) (*amendsv1.Spec, error) {
	input, err := schemaMessage(s.Input)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	steps, err := nodeMessages(s.Steps)
	if err != nil {
		return nil, err
	}
	return &amendsv1.Spec{
		Name:         s.Name,
		Version:      int64(s.Version),
		DeadlineNano: int64(s.Deadline),
		Input:        input,
		TimeoutNano:  int64(s.Timeout),
		Retry:        retryMessage(s.Retry),
		Steps:        steps,
	}, nil
}

func fromSpec(m *amendsv1.Spec) (saga.Spec, error) {
	input, err := fromSchema(m.Input)
	if err != nil {
		return saga.Spec{}, fmt.Errorf("input: %w", err)
	}
	steps, err := fromNodes(m.Steps)
	if err != nil {
		return saga.Spec{}, err
	}
	return saga.Spec{
		Name:     m.Name,
		Version:  int(m.Version),
		Deadline: duration(m.DeadlineNano),
		Input:    input,
		Timeout:  duration(m.TimeoutNano),
		Retry:    fromRetry(m.Retry),
		Steps:    steps,
	}, nil
}

func retryMessage(r saga.RetryPolicy) *amendsv1.RetryPolicy {
	if r == (saga.RetryPolicy{}) {
		return nil
	}
	return &amendsv1.RetryPolicy{Attempts: int64(r.Attempts), InitialIntervalNano: int64(r.InitialInterval), MaxIntervalNano: int64(r.MaxInterval)}
}

func fromRetry(m *amendsv1.RetryPolicy) saga.RetryPolicy {
	return saga.RetryPolicy{
		Attempts:        int(m.GetAttempts()),
		InitialInterval: duration(m.GetInitialIntervalNano()),
		MaxInterval:     duration(m.GetMaxIntervalNano()),
	}
}

func duration(nano int64) saga.Duration { return saga.Duration(time.Duration(nano)) }
