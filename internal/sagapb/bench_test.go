package sagapb

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// typical returns a saga with four steps, 300 bytes of input and small results.
func typical() *machine.Instance {
	in := minimal()
	in.Input = make([]byte, 300)
	in.Updated, in.Deadline = noon.Add(time.Second), noon.Add(time.Hour)
	in.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	in.Fingerprint = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	in.Steps = []machine.StepState{
		{Do: newSide(contract.DirectionDo, machine.SideData{State: machine.SideDone, Attempt: 1, MaxAttempt: 5}), Result: make([]byte, 60)},
		{Do: newSide(contract.DirectionDo, machine.SideData{State: machine.SideDone, Attempt: 1, MaxAttempt: 5}), Result: make([]byte, 60)},
		{Do: newSide(contract.DirectionDo, machine.SideData{State: machine.SideAwaitingAnswer, Attempt: 2, MaxAttempt: 5, Due: noon, Command: 7})},
		{},
	}
	return in
}

func BenchmarkAppendInstance(b *testing.B) {
	in := typical()
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buffer, err = AppendInstance(buffer[:0], in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(buffer)), "bytes")
}

func BenchmarkUnmarshalInstance(b *testing.B) {
	record, err := MarshalInstance(typical())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := UnmarshalInstance(record); err != nil {
			b.Fatal(err)
		}
	}
}
