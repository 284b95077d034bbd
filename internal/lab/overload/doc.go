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
// "make lab-overload" runs them in the short form that CI runs, "make lab-overload MINUTES=1
// SOAK=60" in the long one:
//
//   - ten times the sustainable rate, measured in the same run: memory bounded,
//     starts refused with a hint when to come back, what was accepted ends (I2, I10);
//   - the same while participants are away, the disk is slow, or the bus restarts
//     again and again (I2, I10);
//   - sagas that are stuck at a dead participant do not delay the others (I10);
//   - poison costs its own saga only (I9);
//   - participants that are away, a slow disk, a bus that is restarted: slower,
//     not wrong (I3, I10);
//   - a soak with faults: nothing grows that kept sagas do not explain (I10);
//   - a quiet system does nothing.
//
// It does not kill processes (package reliability does) and does not measure absolute speed: bounds
// are ratios within one run, and generous because test machines are shared.
//
// A failure is a failed test that names the measured value and its bound.
package overload
