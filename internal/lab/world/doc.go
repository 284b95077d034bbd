// Package world is what the laboratories break systems in: processes that can be killed, roads
// that can be cut, callers, a bank that acts for them, and the audit of what is left.
//
//	callers (Load) ──▶ road (Proxy) ──▶ NATS server ◀── bank, clearing, post (Serve) ──▶ ledgers
//	     │                                  ▲                                              │
//	     │                             coordinator ──▶ store ──────────┐                   │
//	     └── what they were told (Run) ──────────────────────────▶ Audit ◀── Books ────────┘
//
// The saga moves money from an account of the bank to one of the clearing house. Every effect
// leaves a line under its idempotency key in the SQLite file of its participant, and nothing
// there keeps a key from being booked twice, for that is what the audit looks for:
//
//   - lost (I1, I2, I8): an acknowledged saga is not there, ended otherwise than its caller was
//     told, or its history does not fold to its state;
//   - doubled (I3, I4, I5): an idempotency key took effect twice, a completed saga's net effect
//     is not one, a compensated one's not zero, or the money does not add up;
//   - stuck (I2): a saga has not ended.
//
// It makes no faults and knows of none: those are the laboratories' own. It is behind the build
// tag lab, and Linux's.
//
// Failure looks like an error, or like findings, each with its saga and what is wrong with it.
package world
