package seal

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/amends-dev/amends/contract"
)

// Sealed data consists of these fields, with their sizes in bytes:
//
//	key name's length (1) · key name · salt (16) · counter (8) · AES-256-GCM (size of the data + 16)
//
// The AES key is derived from the named key and a salt, which is new each time keys are loaded. The
// counter is the nonce. So no nonce is used twice with one AES key, however much data is sealed;
// random 96-bit nonces would be safe for only a day at full load.
const (
	saltSize    = 16
	counterSize = 8
	keySize     = 32

	maxKeys    = 64      // per key file (I10)
	maxSalts   = 1024    // cached derived keys (I10)
	maxKeyFile = 1 << 16 // bytes
)

// ErrKey means that the store is sealed with a key that is missing or wrong.
var ErrKey = errors.New("the store is encrypted, and its key is missing or wrong")

// ErrPlain means that keys are given although the store is not sealed.
var ErrPlain = errors.New("keys are given, but the store is not encrypted")

// Keys encrypt the business data in a store's records: inputs, results, events and messages. The
// first key encrypts; all keys decrypt. Keys are safe for concurrent use. A nil *Keys means that the
// store is not sealed.
type Keys struct {
	names   []string
	secrets map[string][]byte
	salt    [saltSize]byte
	aead    cipher.AEAD // of the first key and salt
	counter atomic.Uint64
	derived *lru.Cache[string, cipher.AEAD] // derived AES keys, by name and salt
}

// LoadKeys reads a key file. Each line holds a name and 32 bytes in base64, as printed by
// "coordinator key create"; the newest key comes first. Comments begin with #.
func LoadKeys(path string) (*Keys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("store keys: %w; to create the file, save the output of: coordinator key create", err)
	}
	if info.Mode().Perm()&0o007 != 0 || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("store keys: %s: everybody can read or write the file (run: chmod o-rwx), or it is longer than %d bytes", path, maxKeyFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("store keys: %w", err)
	}
	k, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("store keys: %s: %w", path, err)
	}
	return k, nil
}

// ParseKeys parses the content of a key file.
func ParseKeys(data []byte) (*Keys, error) {
	k := &Keys{secrets: map[string][]byte{}}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, text, _ := strings.Cut(line, " ")
		secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		switch _, twice := k.secrets[name]; {
		case contract.CheckName("key", name) != nil:
			return nil, fmt.Errorf("line %d: the key's name is not valid; use 1 to 64 lower-case letters, digits and hyphens, starting with a letter", n)
		case err != nil || len(secret) != keySize:
			return nil, fmt.Errorf("line %d: the name is not followed by a key of %d bytes in base64; coordinator key create prints such a line", n, keySize)
		case twice:
			return nil, fmt.Errorf("line %d: the name %s is used twice", n, name)
		}
		k.names, k.secrets[name] = append(k.names, name), secret
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, err
	case len(k.names) == 0 || len(k.names) > maxKeys:
		return nil, fmt.Errorf("the file holds %d keys; give 1 to %d", len(k.names), maxKeys)
	}
	var err error
	if k.derived, err = lru.New[string, cipher.AEAD](maxSalts); err != nil {
		return nil, err
	}
	_, _ = rand.Read(k.salt[:]) // never fails (crypto/rand)
	k.aead, err = k.derive(k.names[0], k.salt[:])
	return k, err
}

// NewKey generates a key and returns its line for a key file.
func NewKey(name string) (line string, err error) {
	if err := contract.CheckName("key", name); err != nil {
		return "", err
	}
	secret := make([]byte, keySize)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return name + " " + base64.StdEncoding.EncodeToString(secret), nil
}

// First returns the name of the key that encrypts.
func (k *Keys) First() string { return k.names[0] }

// Has reports whether the key with a name was given. It is false for nil Keys.
func (k *Keys) Has(name string) bool { return k != nil && k.secrets[name] != nil }

// Derive derives a secret from each key, in the order of the keys. The purpose, such as "streams",
// distinguishes these secrets from secrets that are derived for other purposes.
func (k *Keys) Derive(purpose string) ([]string, error) {
	var out []string
	for _, name := range k.names {
		secret, err := hkdf.Key(sha256.New, k.secrets[name], nil, "amends "+purpose, keySize)
		if err != nil {
			return nil, err
		}
		out = append(out, base64.RawStdEncoding.EncodeToString(secret))
	}
	return out, nil
}

func (k *Keys) derive(name string, salt []byte) (cipher.AEAD, error) {
	at := name + " " + string(salt)
	if known, ok := k.derived.Get(at); ok {
		return known, nil
	}
	secret, err := hkdf.Key(sha256.New, k.secrets[name], salt, "amends store", keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err == nil {
		k.derived.Add(at, aead)
	}
	return aead, err
}

func nonce(counter uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), counter)
}

// Seal encrypts data with the first key and binds it to what, the authenticated additional data: Open
// succeeds only with the same bytes. Stores pass what the data is and where it belongs, such as its
// kind, saga and revision, so that sealed data cannot replace other sealed data. Seal needs a key: it
// panics if k is nil.
func (k *Keys) Seal(what, plain []byte) []byte {
	name := k.names[0]
	counter := k.counter.Add(1)
	out := make([]byte, 0, 1+len(name)+saltSize+counterSize+len(plain)+k.aead.Overhead())
	out = append(append(out, byte(len(name))), name...)
	out = binary.BigEndian.AppendUint64(append(out, k.salt[:]...), counter)
	return k.aead.Seal(out, nonce(counter), plain, what)
}

// Open decrypts data that was sealed with the same what. It returns ErrKey if k is nil or lacks
// the key, and another error if the data was changed. The errors name the key.
func (k *Keys) Open(what, sealed []byte) ([]byte, error) {
	if k == nil {
		return nil, ErrKey
	}
	name, salt, counter, ciphertext, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	if !k.Has(name) {
		return nil, fmt.Errorf("%w: it is encrypted with the key %.64q, which is not given", ErrKey, name)
	}
	aead, err := k.derive(name, salt)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nonce(counter), ciphertext, what)
	if err != nil {
		return nil, fmt.Errorf("it cannot be decrypted: it was changed, or encrypted with a key other than %s", name)
	}
	return plain, nil
}

// parse splits sealed data into its fields.
func parse(b []byte) (name string, salt []byte, counter uint64, ciphertext []byte, err error) {
	if len(b) == 0 || len(b) < 1+int(b[0])+saltSize+counterSize {
		return "", nil, 0, nil, errors.New("it ends too early")
	}
	name, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
	salt, b = b[:saltSize], b[saltSize:]
	return name, salt, binary.BigEndian.Uint64(b), b[counterSize:], nil
}

// MAC returns the HMAC-SHA-256 of data of a kind under the first key. A store that recognises equal
// data by a checksum needs it, because a plain checksum would let an attacker verify guesses of the
// sealed data.
func (k *Keys) MAC(kind string, data []byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, k.secrets[k.names[0]])
	mac.Write([]byte(kind))
	mac.Write(data)
	return [sha256.Size]byte(mac.Sum(nil))
}
