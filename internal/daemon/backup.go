package daemon

import (
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// backupLimit bounds one backup: while it runs the store cannot reuse space.
const backupLimit = 30 * time.Minute

// mountBackup takes the whole address, so that the console does not take the rest.
func (d *daemon) mountBackup(mux *http.ServeMux) {
	mux.Handle("POST /backup", d.backup())
	mux.HandleFunc("/backup", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "a backup is asked for with POST", http.StatusMethodNotAllowed)
	})
}

// backup streams a consistent copy of the store to an admin or, where nobody is
// asked for a key, to a caller on the same machine. Nobody else may have it: it
// holds every saga's data. Without a key a caller that comes through a browser or a
// proxy is refused as well.
func (d *daemon) backup() http.Handler {
	var busy atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !d.Access.Enabled() && !local(r):
			http.Error(w, "a backup is given to a caller on the same machine only, by its loopback address", http.StatusForbidden)
			return
		case d.coord.Load() == nil || d.stops.Load():
			http.Error(w, "the coordinator is starting or stopping; try again", http.StatusServiceUnavailable)
			return
		case !busy.CompareAndSwap(false, true):
			http.Error(w, "another backup is being written; try again when it is done", http.StatusConflict)
			return
		}
		defer busy.Store(false)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(backupLimit))
		w.Header().Set("Content-Type", "application/octet-stream")
		n, err := d.store.Backup(r.Context(), w)
		if err != nil {
			d.Logger.Error("backup", slog.Any("error", err))
			panic(http.ErrAbortHandler) // cut the connection, so that nobody takes half a copy for a whole one
		}
		d.Logger.Info("backup", slog.Int64("bytes", n))
	})
}

// local reports whether a request was made on this machine, to it, by a program.
func local(r *http.Request) bool {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	to := r.Host
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		to = host
	}
	return loopback(from) && loopback(to) && r.Header.Get("Origin") == "" && r.Header.Get("X-Forwarded-For") == ""
}
