package server

import (
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// backupLimit is the timeout of a backup. While a backup runs, the store cannot reuse free pages.
const backupLimit = 30 * time.Minute

// mountBackup registers /backup for every method, because the console handles all other paths.
func (s *Server) mountBackup(mux *http.ServeMux) {
	mux.Handle("POST /backup", s.backup())
	mux.HandleFunc("/backup", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "use POST for a backup", http.StatusMethodNotAllowed)
	})
}

// backup streams a consistent copy of the store, which holds the data of all sagas. Package access
// admits only admins or, without authentication, programs on this machine.
func (s *Server) backup() http.Handler {
	var busy atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.coord.Load() == nil || s.stops.Load():
			http.Error(w, "the coordinator is starting or stopping; try again", http.StatusServiceUnavailable)
			return
		case !busy.CompareAndSwap(false, true):
			http.Error(w, "another backup is in progress; try again when it is done", http.StatusConflict)
			return
		}
		defer busy.Store(false)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(backupLimit))
		w.Header().Set("Content-Type", "application/octet-stream")
		n, err := s.store.Backup(r.Context(), w)
		if n == 0 && errors.Is(err, errors.ErrUnsupported) {
			http.Error(w, "the store of this coordinator does not support backups; copy the store with its own tools", http.StatusNotImplemented)
			return
		}
		if err != nil {
			s.config.Logger.Error("backup failed", slog.Any("error", err))
			panic(http.ErrAbortHandler) // abort the connection, so that a partial copy does not look complete
		}
		s.config.Logger.Info("backup done", slog.Int64("bytes", n))
	})
}
