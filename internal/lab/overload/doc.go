// Package overload overloads a complete system and checks that it stays bounded, fair and
// responsive.
//
//	callers, ten times too many ──▶ coordinator ──▶ boltstore (slow on demand)
//	                                    │  ▲
//	                                    ▼  │  NATS server, restarted on demand
//	                 north, south (slow, stopped on demand) · void (never answers)
//
// It holds tests only. All components are real and run in one process, so the tests can count
// memory, goroutines and open files of all of them together. The tests need the build tag lab:
// "make lab-overload" runs them in the short form that CI runs, and "make lab-overload
// MINUTES=1 SOAK=60" in the long form:
//
//   - At ten times the sustainable rate, measured in the same run, memory is bounded, excess starts
//     are refused with a retry hint, and accepted sagas end (I2, I10).
//   - The same holds while participants are stopped, the disk is slow, or the bus restarts
//     repeatedly (I2, I10).
//   - Sagas that wait for a stopped participant do not delay the others (I10).
//   - Invalid messages affect only their own sagas (I9).
//   - Stopped participants, a slow disk and a restarted bus make the system slower, but cause no
//     wrong result (I3, I10).
//   - In a soak with faults, the kept sagas explain everything that grows (I10).
//   - A system without open sagas does no work.
//
// It does not kill processes (package reliability does) and does not measure absolute speed: bounds
// are ratios within one run, and generous because test machines are shared.
//
// A failure is a failed test that names the measured value and its bound.
package overload
