package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver, pure Go
)

// Open opens the file, creating it if necessary, and applies the schema, whose statements must be
// idempotent.
//
// A transaction takes the write lock when it begins (immediate), so that concurrent transactions
// wait for each other instead of failing. A commit is durable when it returns (synchronous FULL),
// because the participant then answers.
func Open(ctx context.Context, path, schema string) (*sql.DB, error) {
	db, err := open(path, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)"},
	})
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("apply the schema to %s: %w", path, err)
	}
	return db, nil
}

// OpenReadOnly opens an existing file for reading. A service may have it open, and its directory
// may be read-only.
func OpenReadOnly(ctx context.Context, path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	query := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(10000)"}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) {
		// No process has the file open. Opening it in WAL mode would create files, which a
		// read-only directory does not permit.
		query.Set("immutable", "1")
	}
	db, err := open(path, query)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, "SELECT count(*) FROM sqlite_schema"); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return db, nil
}

func open(path string, query url.Values) (*sql.DB, error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}
