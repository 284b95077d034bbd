package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

const (
	// IdleLimit is how long a browser's session may be idle before it ends.
	IdleLimit = 30 * time.Minute
	// SessionLimit is the maximum duration of a session.
	SessionLimit = 12 * time.Hour
	// MaxSessions is the maximum number of sessions. If it is exceeded, the session that has been
	// idle longest ends (I10).
	MaxSessions = 10_000
)

// session is the session of a browser that has logged in. Sessions are kept only in memory, so a
// restart ends all of them.
type session struct {
	caller Caller
	token  digest // digest of the token used to log in; zero for OIDC
	begun  time.Time
	used   time.Time
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) >= IdleLimit || now.Sub(s.begun) >= SessionLimit
}

type sessions struct {
	clock func() time.Time
	mu    sync.Mutex
	byID  map[digest]*session // by the digest of the cookie's value
}

// random returns 256 random bits as text.
func random() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// begin creates a session and returns the value of its cookie.
func (s *sessions) begin(caller Caller, token digest) string {
	id, now := random(), s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= MaxSessions {
		s.makeRoom(now)
	}
	s.byID[sha256.Sum256([]byte(id))] = &session{caller: caller, token: token, begun: now, used: now}
	return id
}

func (s *sessions) makeRoom(now time.Time) {
	var oldest digest
	var since time.Time
	for id, one := range s.byID {
		if one.over(now) {
			delete(s.byID, id)
		} else if since.IsZero() || one.used.Before(since) {
			oldest, since = id, one.used
		}
	}
	if len(s.byID) >= MaxSessions {
		delete(s.byID, oldest)
	}
}

// find returns the session for a cookie's value, and updates the time of its last use.
func (s *sessions) find(id string) (session, bool) {
	key, now := sha256.Sum256([]byte(id)), s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.byID[key]
	switch {
	case !ok:
		return session{}, false
	case one.over(now):
		delete(s.byID, key)
		return session{}, false
	}
	one.used = now
	return *one, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, sha256.Sum256([]byte(id)))
}
