// Package timelapse runs the whole stack through weeks of virtual time.
//
//	┌ one bubble of testing/synctest, one process ─────────────────────────────┐
//	│ client ── natsbus ═╗                        ╔═ natsbus ── participants   │
//	│                    ╠═ embedded NATS server ═╣             (bbolt inbox)  │
//	│ coordinator ───────╝   (file store)         ╚═ listeners                 │
//	│      └── boltstore (real file, real fsync)                               │
//	└──────────────────────────────────────────────────────────────────────────┘
//
// It holds tests only. Nothing is faked but the clock: the code, the server, the
// files and their fsyncs are those of production, and an hour passes as soon as
// every goroutine waits for something. So the tests say when things happen, to
// the millisecond, and what a saga looks like after a month.
//
// The tests are behind the build tag lab: "make lab-timelapse" runs them, in half a
// minute of real time.
//
// What it does not do: it does not repeat itself exactly (the scheduler chooses
// the order of what happens at one instant), it has one server and no network
// (only connections inside the process let virtual time pass), and no process
// dies; the simulator and the tests with real processes are for that.
//
// The invariants it keeps an eye on are I2 (nothing accepted is forgotten, however
// long it takes), I5 (one effect per key when the bus's window of deduplication is
// long over) and I10 (retention). Failure looks like a failed test with the
// virtual times that were seen beside those that were wanted.
package timelapse
