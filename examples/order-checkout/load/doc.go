// Package load is the customers: it places orders and follows each of them to
// its end.
//
//	[]checkout.Order ──▶ client.Start ──▶ client.Get … ──▶ Viewer
//	                          └─ accepted ──▶ placed.jsonl
//
// What was accepted is written down before anything else, so that the audit can
// ask for it. It does not look into any service.
//
// Failure looks like an error that names the order that could not be placed, or
// did not end.
package load
