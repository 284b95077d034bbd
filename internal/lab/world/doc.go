// Package world holds what the laboratories share: processes that can be killed, roads (proxies)
// that can be cut, callers, a bank that serves them, and the audit of the result.
//
//	callers (Load) ──▶ road (Proxy) ──▶ NATS server ◀── bank, clearing, post (Serve) ──▶ ledgers
//	     │                                  ▲                                              │
//	     │                             coordinator ──▶ store ──────────┐                   │
//	     └── what they were told (Run) ──────────────────────────▶ Audit ◀── Books ────────┘
//
// The saga moves money from an account of the bank to an account of the clearing house. Every
// effect writes a line under its idempotency key to its participant's SQLite file. The file does
// not prevent a key from being booked twice, because the audit looks for that. Its findings are:
//
//   - lost (I1, I2, I8): an acknowledged saga is missing, a saga ended otherwise than its caller
//     was told, or a history does not fold to its state;
//   - doubled (I3, I4, I5): an idempotency key took effect twice, a completed saga's net effect
//     is not one, a compensated saga's net effect is not zero, or the money does not add up;
//   - stuck (I2): a saga has not ended.
//
// It injects no faults; each laboratory injects its own. It needs the build tag lab and Linux.
//
// A failure is an error or a list of findings, each with its saga and what is wrong with it.
package world
