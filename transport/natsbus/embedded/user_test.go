package embedded_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestUsersAreNotQuoted: errors about a users file contain the line number and no password.
func TestUsersAreNotQuoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.conf")
	for text, line := range map[string]string{
		"accounts {\n AMENDS { users: [ {user: a, password: $swordfish} ] } }":        "line 2",
		"accounts {\n AMENDS {\n users: [ swordfish ] } }":                            "line 3",
		"accounts {\n AMENDS { users: [ {user: a, password: \"swordfish} ] } }":       "line",
		"accounts {\n AMENDS { users: [ {user: a, password: swordfish,, x} ] } }":     "",
		"accounts {\n AMENDS { users: [ {user: a, password: 1, swordfish: [1]} ] } }": "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := embedded.CheckUsers(path, "AMENDS")
		if line != "" && (err == nil || !strings.Contains(err.Error(), line)) {
			t.Errorf("%s\nis answered %v, want %q in it", text, err, line)
		}
		if err != nil && strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s\nis quoted: %v", text, err)
		}
	}
	if err := embedded.CheckUsers(path+"x", "AMENDS"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}
