package sqlinbox

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// retry calls f up to tries times, until f succeeds or again returns false for the error of f.
func (i *Inbox) retry(ctx context.Context, again func(error) bool, f func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 4*time.Millisecond, 250*time.Millisecond
	pause.Reset()
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = f()
		if last != nil && !again(last) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(uint(i.tries)))
	if err != nil && last != nil {
		return last
	}
	return err
}

// conflict reports whether err means that a transaction was rolled back as a whole because of
// another transaction and can be retried. It recognizes the errors of drivers by their methods and
// texts, so that it imports no driver.
func conflict(err error) bool {
	var state interface{ SQLState() string } // pgx, lib/pq
	if errors.As(err, &state) {
		switch state.SQLState() {
		case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
			return true
		}
		return false
	}
	var code interface{ Code() int } // modernc.org/sqlite
	if errors.As(err, &code) {
		const busy, locked = 5, 6
		primary := code.Code() & 0xff
		return primary == busy || primary == locked
	}
	text := err.Error()
	for _, sign := range [...]string{
		"Error 1213",                                     // go-sql-driver/mysql: deadlock
		"Error 1205",                                     // lock wait timeout
		"Error 1020",                                     // MariaDB: record has changed since last read
		"database is locked", "database table is locked", // other SQLite drivers
	} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// raced reports whether err means that another process is currently creating the same table, or is
// a conflict. In PostgreSQL, IF NOT EXISTS does not prevent such an error.
func raced(err error) bool {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		switch state.SQLState() {
		case "23505", "42710", "42P07": // unique violation in the catalogue, duplicate object, duplicate table
			return true
		}
	}
	return conflict(err)
}
