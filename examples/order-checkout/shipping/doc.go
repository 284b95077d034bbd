// Package shipping is the service that hands parcels to carriers.
//
//	book-shipment ─▶ a parcel with a tracking number, or no carrier goes there
//
// It has nothing to undo: the carrier has the parcel, and the saga does not go
// back beyond that point. It takes its commands through a Watermill router; the
// other services use the native carrier.
//
// Failure looks like a rejection that names the country.
package shipping
