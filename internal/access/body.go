package access

import "net/http"

// bound lets a handler read so many bytes of a request's body and no more, and reports
// whether it may be served: false when the body says itself that it is longer. A body
// that nobody wants is not read at all.
func bound(w http.ResponseWriter, r *http.Request, most int64) bool {
	if r.Body == http.NoBody {
		return true
	}
	if r.ContentLength > most {
		return false
	}
	if most == 0 {
		unread(w, r)
		r.Body = http.NoBody
		return true
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	return true
}

// unread has the connection closed behind the answer to a request whose body is not read,
// so that nobody waits for it. A connection of HTTP/2 has other requests on it, and drops
// the body.
func unread(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && r.Body != http.NoBody {
		w.Header().Set("Connection", "close")
	}
}
