// Package load simulates the customers: it places orders and follows each to its end.
//
//	[]checkout.Order ──▶ client.Start ──▶ client.Get … ──▶ Viewer
//	                          └─ accepted ──▶ placed.jsonl
//
// It writes each accepted order to placed.jsonl at once, so that the audit can look for it. It does
// not read the services' databases.
//
// Errors name the order that could not be placed or did not end.
package load
