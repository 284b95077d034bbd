package server

import (
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// backupLimit bounds one backup: while it runs the store cannot reuse space.
const backupLimit = 30 * time.Minute

// mountBackup takes the whole address, so that the console does not take the rest.
func (s *Server) mountBackup(mux *http.ServeMux) {
	mux.Handle("POST /backup", s.backup())
	mux.HandleFunc("/backup", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "a backup is asked for with POST", http.StatusMethodNotAllowed)
	})
}

// backup streams a consistent copy of the store to whom package access lets pass: it
// holds every saga's data, so that is an admin or, where nobody is asked for a key, a
// program on the same machine.
func (s *Server) backup() http.Handler {
	var busy atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.coord.Load() == nil || s.stops.Load():
			http.Error(w, "the coordinator is starting or stopping; try again", http.StatusServiceUnavailable)
			return
		case !busy.CompareAndSwap(false, true):
			http.Error(w, "another backup is being written; try again when it is done", http.StatusConflict)
			return
		}
		defer busy.Store(false)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(backupLimit))
		w.Header().Set("Content-Type", "application/octet-stream")
		n, err := s.store.Backup(r.Context(), w)
		if n == 0 && errors.Is(err, errors.ErrUnsupported) {
			http.Error(w, "the store of this coordinator has no backups; copy it with its own tools", http.StatusNotImplemented)
			return
		}
		if err != nil {
			s.config.Logger.Error("backup", slog.Any("error", err))
			panic(http.ErrAbortHandler) // cut the connection, so that nobody takes half a copy for a whole one
		}
		s.config.Logger.Info("backup", slog.Int64("bytes", n))
	})
}
