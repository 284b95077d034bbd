package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

const (
	// IdleLimit is after how long without a request a browser's session ends.
	IdleLimit = 30 * time.Minute
	// SessionLimit is after how long any session ends.
	SessionLimit = 12 * time.Hour
	// MaxSessions bounds the sessions of a process; beyond it the one that was
	// idle longest ends (I10).
	MaxSessions = 10_000
)

// session is a browser that has logged in. Sessions live in memory: a restart
// ends them all.
type session struct {
	caller Caller
	token  digest // of the token it was made with; zero: OIDC
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

// random is 256 bits as text.
func random() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// begin makes a session and returns the value of its cookie.
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

// find is the session of a cookie's value, and marks it as used.
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
