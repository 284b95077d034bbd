// Package timelapse runs the whole stack through weeks of virtual time.
//
//	┌ one bubble of testing/synctest, one process ─────────────────────────────┐
//	│ client ── natsbus ═╗                        ╔═ natsbus ── participants   │
//	│                    ╠═ embedded NATS server ═╣             (bbolt inbox)  │
//	│ coordinator ───────╝   (file store)         ╚═ listeners                 │
//	│      └── boltstore (real file, real fsync)                               │
//	└──────────────────────────────────────────────────────────────────────────┘
//
// It holds tests only. Only the clock is fake: the code, the server, the files and their fsyncs are
// the same as in production, and an hour passes as soon as every goroutine is blocked. So the tests
// can check the times of events to the millisecond, and the state of a saga after a month.
//
// The tests need the build tag lab: "make lab-timelapse" runs them, in half a minute of real time.
//
// The tests do not repeat exactly, because the scheduler chooses the order of simultaneous events.
// They have one server and no network, because virtual time passes only with in-process
// connections. No process crashes; the simulator and the laboratories with processes test crashes.
//
// The tests check I2 (accepted sagas are never forgotten), I5 (one effect per key, even after the
// bus's deduplication window) and I10 (retention). A failure is a failed test with the observed and
// the expected virtual times.
package timelapse
