package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amends-dev/amends/store/seal"
)

// line returns a line with a new key for a key file.
func line(t *testing.T, name string) string {
	t.Helper()
	l, err := seal.NewKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// keys parses lines into new Keys, as a different process would.
func keys(t *testing.T, lines ...string) *seal.Keys {
	t.Helper()
	k, err := seal.ParseKeys([]byte("# newest first\n\n" + strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSealsAreBound checks that sealed data opens only with its key and its description, and that no
// byte of it can be changed or cut off.
func TestSealsAreBound(t *testing.T) {
	first, second := line(t, "key-1"), line(t, "key-2")
	k := keys(t, first)
	sealed := k.Seal([]byte("what"), []byte("secret"))
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("it is not encrypted")
	}
	if bytes.Equal(sealed, k.Seal([]byte("what"), []byte("secret"))) {
		t.Error("the nonce is used twice")
	}
	for _, k := range []*seal.Keys{k, keys(t, first), keys(t, second, first)} {
		if plain, err := k.Open([]byte("what"), sealed); err != nil || string(plain) != "secret" {
			t.Errorf("opened with %s first: %q, %v", k.First(), plain, err)
		}
		if _, err := k.Open([]byte("else"), sealed); err == nil || !strings.Contains(err.Error(), "it cannot be decrypted") {
			t.Errorf("opened as something else: %v", err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x10
		if _, err := k.Open([]byte("what"), changed); err == nil {
			t.Errorf("byte %d is changed, and it opens", i)
		}
		if _, err := k.Open([]byte("what"), sealed[:i]); err == nil {
			t.Errorf("it ends at byte %d, and it opens", i)
		}
	}
	for name, k := range map[string]*seal.Keys{
		`the key "key-1", which is not given`: keys(t, second),
		"a key other than key-1":              keys(t, line(t, "key-1")),
		seal.ErrKey.Error():                   nil,
	} {
		if _, err := k.Open([]byte("what"), sealed); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	if two := keys(t, second, first); two.First() != "key-2" || !two.Has("key-1") || two.Has("key-3") || (*seal.Keys)(nil).Has("key-1") {
		t.Error("First and Has do not say which keys were given")
	}
}

// TestFormatStays checks that data sealed by an earlier release opens, and that checksums and derived
// secrets stay as they were.
func TestFormatStays(t *testing.T) {
	k := keys(t, "key-1 "+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("0123456789abcdef", 2))))
	sealed, err := hex.DecodeString("056b65792d31000102030405060708090a0b0c0d0e0f0000000000000001" +
		"8ac1109dab9c9ad29049edcc39afc49b7875a6ae4cce0d004de8")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := k.Open([]byte("what"), sealed); err != nil || string(plain) != "plain text" {
		t.Errorf("%q, %v", plain, err)
	}
	if mac := k.MAC("birth", []byte("plain text")); hex.EncodeToString(mac[:4]) != "801f25f1" {
		t.Errorf("the HMAC begins with %x", mac[:4])
	}
	secrets, err := k.Derive("streams")
	if err != nil || !slices.Equal(secrets, []string{"ePlQA3CHB6wWb5WpSGIdLm2AXrPMhOMqNcNZaTyueM4"}) {
		t.Errorf("derived %v, %v", secrets, err)
	}
}

// TestKeyFiles checks that a world-readable key file is refused, and that errors never quote a
// secret.
func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	good := line(t, "key-1")
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string // "" if the file is valid
	}{
		"good":          {good + "\n", 0o600, ""},
		"for the group": {good, 0o640, ""},
		"for everybody": {good, 0o644, "chmod o-rwx"},
		"empty":         {"# none\n", 0o600, "the file holds 0 keys"},
		"short":         {"key-1 c2hvcnQ=\n", 0o600, "line 1"},
		"no name":       {strings.TrimPrefix(good, "key-1 "), 0o600, "line 1"},
		"twice":         {good + "\n" + good, 0o600, "line 2: the name key-1 is used twice"},
	} {
		if err := errors.Join(os.WriteFile(path, []byte(tt.text), 0o600), os.Chmod(path, tt.mode)); err != nil {
			t.Fatal(err)
		}
		_, err := seal.LoadKeys(path)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), strings.TrimPrefix(good, "key-1 ")) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}
