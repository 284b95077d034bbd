package access

import "net/http"

// bound limits how much of a request's body a handler may read. It returns false if Content-Length
// exceeds the limit. With a limit of 0 the body is not read at all.
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

// unread makes the server close the connection after the response to a request whose body is not
// read. Otherwise the server would wait for the rest of the body. HTTP/2 does not need this.
func unread(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && r.Body != http.NoBody {
		w.Header().Set("Connection", "close")
	}
}
