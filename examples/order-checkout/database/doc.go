// Package database opens the SQLite file of a service.
//
//	service ──▶ Open(path, schema)      one writer at a time, every commit fsynced
//	audit   ──▶ OpenReadOnly(path)      beside a running service, or after it
//
// It knows nothing of sagas: a service of yours opens its database as it always
// did.
//
// Failure looks like an error with the path of the file.
package database
