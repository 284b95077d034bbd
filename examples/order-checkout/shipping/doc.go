// Package shipping is the service that hands parcels to carriers.
//
//	book-shipment ─▶ a parcel with a tracking number, or a rejection if no carrier serves the country
//
// It has no undo: once the carrier has the parcel, the saga only goes forward. It receives its
// commands through a Watermill router; the other services use the native carrier.
//
// A rejection names the country that no carrier serves.
package shipping
