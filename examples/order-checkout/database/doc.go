// Package database opens the SQLite file of a service.
//
//	service ──▶ Open(path, schema)      one writer at a time, every commit fsynced
//	audit   ──▶ OpenReadOnly(path)      beside a running service, or after it
//
// It has nothing specific to sagas: your own service opens its database as it did before.
//
// Errors name the path of the file.
package database
