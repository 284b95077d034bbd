package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store/boltstore"
)

// TestStoreOfAnotherUser checks that commands that may write to a store refuse one of another user, with the
// way to become that user. Only root can give a file away; others test the refusal alone.
func TestStoreOfAnotherUser(t *testing.T) {
	const owner = 64321
	check := func(err error) {
		t.Helper()
		code, hint := exitOf(err)
		if code != ExitUsage || !strings.Contains(hint, "as user 64321") || !strings.Contains(hint, "systemd-run") ||
			!strings.Contains(hint, "docs/OPERATING.md#as-the-coordinators-user") {
			t.Errorf("exit code %d, %v, hint %q", code, err, hint)
		}
	}
	check(notOwner("sagas.db", owner, 0))
	if err := notOwner("sagas.db", owner, owner); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, server.StoreFile)
	s, err := boltstore.Open(path, boltstore.Options{})
	if err == nil {
		err = s.Close()
	}
	if err == nil {
		err = os.Chown(path, owner, owner)
	}
	if err != nil {
		t.Fatal(err)
	}
	env := &environment{ctx: t.Context()}
	check((&logSkipCmd{Position: 1, Reason: "x", DataDir: dir}).Run(env))
	check((&storeCopyCmd{File: filepath.Join(dir, "copy.db"), DataDir: dir}).Run(env))
	_, err = (&backupCmd{DataDir: dir}).offline(env, nil)
	check(err)
}
