package access

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	// TokenPrefix is the prefix of every token, so that leaked tokens can be recognized.
	TokenPrefix = "amends_"
	tokenBytes  = 32
	tokenLength = len(TokenPrefix) + 43 // base64 of tokenBytes

	maxTokenFile  = 1 << 20     // bytes (I10)
	maxCallerName = 128         // names are recorded in histories
	lookAgain     = time.Second // interval between checks of the file for changes
)

// digest is the SHA-256 of a token. A slow hash is not needed, because a token has 256
// random bits.
type digest [sha256.Size]byte

// tokenEntry is a line of the token file.
type tokenEntry struct {
	name    string
	role    Role
	digest  digest
	expires time.Time // zero means never
}

// NewToken creates a token. It returns the secret, which should be shown only once, and the line
// for the token file. A zero expires means that the token never expires.
func NewToken(name string, role Role, expires time.Time) (secret, line string, err error) {
	if err := checkName(name); err != nil {
		return "", "", err
	}
	if _, ok := roleNames[role]; !ok {
		return "", "", errors.New("role: is missing; give viewer, operator or admin")
	}
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	secret = TokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(secret))
	line = fmt.Sprintf("%s %s sha256:%s", name, role, hex.EncodeToString(sum[:]))
	if !expires.IsZero() {
		line += " expires=" + expires.UTC().Format(time.RFC3339)
	}
	return secret, line, nil
}

func checkName(name string) error {
	odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if name == "" || len(name) > maxCallerName || strings.HasPrefix(name, "#") || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("name: %q is not valid; give 1 to %d bytes without spaces, not starting with #, such as ada or ci-deploy", name, maxCallerName)
	}
	return nil
}

// parseTokens parses a token file, and returns the errors of all lines, joined.
func parseTokens(data []byte) ([]tokenEntry, error) {
	var entries []tokenEntry
	var errs []error
	names := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseToken(line)
		if err == nil && names[e.name] {
			err = errors.New("the name is already used in an earlier line; give each token its own name")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		names[e.name] = true
		entries = append(entries, e)
	}
	return entries, errors.Join(append(errs, lines.Err())...)
}

func parseToken(line string) (e tokenEntry, err error) {
	fields := strings.Fields(line)
	if len(fields) < 3 || len(fields) > 4 {
		return e, errors.New("expected 3 or 4 words: NAME ROLE sha256:HEX [expires=2030-01-31T00:00:00Z]; create such a line with: coordinator token create")
	}
	e.name = fields[0]
	// The error does not quote the value, because the value may be a token by mistake.
	if checkName(e.name) != nil {
		return e, fmt.Errorf("the first word is not a name; give 1 to %d bytes without spaces, such as ada or ci-deploy", maxCallerName)
	}
	if e.role, err = ParseRole(fields[1]); err != nil {
		return e, errors.New("the second word is not a role; write viewer, operator or admin")
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(fields[2], "sha256:"))
	if err != nil || len(sum) != len(e.digest) || !strings.HasPrefix(fields[2], "sha256:") {
		return e, errors.New("the third word is not sha256: followed by 64 hexadecimal digits; create such a line with: coordinator token create")
	}
	copy(e.digest[:], sum)
	if len(fields) == 4 {
		when, ok := strings.CutPrefix(fields[3], "expires=")
		if e.expires, err = time.Parse(time.RFC3339, when); !ok || err != nil {
			return e, errors.New("the fourth word is not an expiry time; write expires=2030-01-31T00:00:00Z or omit it")
		}
	}
	return e, nil
}

// tokens holds the entries of the token file. The file is reloaded when it changes.
type tokens struct {
	path   string
	logger *slog.Logger
	clock  func() time.Time

	mu      sync.Mutex
	entries []tokenEntry
	looked  time.Time
	known   os.FileInfo
}

// openTokens reads the file for the first time. Only openTokens returns an error; refresh logs
// errors.
func openTokens(path string, logger *slog.Logger, clock func() time.Time) (*tokens, error) {
	t := &tokens{path: path, logger: logger, clock: clock}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("token file: %w; create it with the line printed by: coordinator token create --name ada --role admin", err)
	}
	entries, err := t.read(info)
	if err != nil {
		return nil, fmt.Errorf("token file %s: %w", path, err)
	}
	t.entries, t.known, t.looked = entries, info, clock()
	return t, nil
}

func (t *tokens) read(info os.FileInfo) ([]tokenEntry, error) {
	switch {
	case info.Mode().Perm()&0o002 != 0:
		return nil, fmt.Errorf("everybody can write to the file; run: chmod o-w %s", t.path)
	case info.Size() > maxTokenFile:
		return nil, fmt.Errorf("has %d bytes; at most %d are allowed", info.Size(), maxTokenFile)
	}
	data, err := os.ReadFile(t.path)
	if err != nil {
		return nil, err
	}
	return parseTokens(data)
}

// refresh reloads the file if it has changed. If that fails, it logs the error and keeps the
// previous tokens.
func (t *tokens) refresh() {
	now := t.clock()
	if now.Sub(t.looked) < lookAgain {
		return
	}
	t.looked = now
	info, err := os.Stat(t.path)
	if err == nil && same(info, t.known) {
		return
	}
	var entries []tokenEntry
	if err == nil {
		entries, err = t.read(info)
	}
	if err != nil {
		t.logger.Error("cannot reload the token file; the previous tokens stay valid", slog.String("file", t.path), slog.Any("error", err))
		return
	}
	t.entries, t.known = entries, info
	t.logger.Info("reloaded the token file", slog.String("file", t.path), slog.Int("tokens", len(entries)))
}

// find returns the entry for a token's digest. It compares every entry, in constant time.
func (t *tokens) find(d digest) (found tokenEntry, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	for _, e := range t.entries {
		if subtle.ConstantTimeCompare(e.digest[:], d[:]) == 1 {
			found, ok = e, true
		}
	}
	if !ok || !found.expires.IsZero() && !t.clock().Before(found.expires) {
		return tokenEntry{}, false
	}
	return found, true
}

// digestOf returns the digest of a secret, and false if the secret does not have the form of a
// token.
func digestOf(secret string) (d digest, ok bool) {
	if len(secret) != tokenLength || !strings.HasPrefix(secret, TokenPrefix) {
		return d, false
	}
	return sha256.Sum256([]byte(secret)), true
}

func (e tokenEntry) caller() Caller { return Caller{Name: e.name, Role: e.role, Via: ViaToken} }
