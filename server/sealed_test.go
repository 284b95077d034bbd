package server_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/transport"
)

// TestNothingIsReadableAtRest checks that with keys, no file of the data directory holds user data
// in plain text, neither in the store nor in the streams, even after a key rotation. Without keys,
// the same search finds the words, which proves that the search works.
func TestNothingIsReadableAtRest(t *testing.T) {
	t.Parallel()
	const word = "4111-1111-1111-1111"
	first, second := keyLine(t, "key-1"), keyLine(t, "key-2")
	for name, tt := range map[string]struct {
		rounds []string // the key file of each start
		found  bool
	}{
		"plain":   {[]string{""}, true},
		"sealed":  {[]string{first}, false},
		"rotated": {[]string{first, second + "\n" + first, second + "\n" + first}, false},
	} {
		dir := t.TempDir()
		data := filepath.Join(dir, "data")
		for i, lines := range tt.rounds {
			c := server.Config{DataDir: data, Definitions: []*saga.Definition{checkout()}}
			if lines != "" {
				c.StoreKeys = filepath.Join(dir, "keys")
				if err := os.WriteFile(c.StoreKeys, []byte(lines), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d := start(t, c)
			startOrders(t, d, word, i)
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
			if found := search(t, data, word); (len(found) > 0) != tt.found {
				t.Errorf("%s, round %d: the word is in %v", name, i, found)
			}
		}
	}
	sealLater(t, word, first)
	// The server does not start without its keys.
	dir := t.TempDir()
	file := filepath.Join(dir, "keys")
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start(t, server.Config{DataDir: dir, StoreKeys: file}).stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Start(t.Context(), server.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, seal.ErrKey) {
		t.Errorf("without keys: %v", err)
	}
}

// sealLater checks that an existing plain store is refused if keys are given. An encrypted copy of
// it is accepted, and its sagas continue.
func sealLater(t *testing.T, word, line string) {
	t.Helper()
	dir := t.TempDir()
	c := server.Config{DataDir: filepath.Join(dir, "data"), Definitions: []*saga.Definition{checkout()}, Logger: slog.New(slog.DiscardHandler)}
	d := start(t, c)
	startOrders(t, d, word, 0)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	c.StoreKeys = filepath.Join(dir, "keys")
	if err := os.WriteFile(c.StoreKeys, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Start(t.Context(), c); !errors.Is(err, seal.ErrPlain) {
		t.Errorf("a plain store is taken with keys: %v", err)
	}
	keys, err := seal.LoadKeys(c.StoreKeys)
	if err != nil {
		t.Fatal(err)
	}
	path, copied := filepath.Join(c.DataDir, server.StoreFile), filepath.Join(c.DataDir, "sealed.db")
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(s.Copy(t.Context(), copied, boltstore.CopyOptions{Keys: keys}), s.Close(),
		os.RemoveAll(path+".log"), os.Rename(copied, path), os.RemoveAll(filepath.Join(c.DataDir, "nats")))
	if err != nil {
		t.Fatal(err)
	}
	d = start(t, c)
	startOrders(t, d, word, 1)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if found := search(t, c.DataDir, word); len(found) > 0 {
		t.Errorf("sealed later: the word is in %v", found)
	}
}

func keyLine(t *testing.T, name string) string {
	t.Helper()
	line, err := seal.NewKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// startOrders starts a saga whose command waits in its stream, and checks that the sagas of earlier
// rounds exist.
func startOrders(t *testing.T, d running, word string, round int) {
	t.Helper()
	bus, err := d.Connect(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	shop := client.New(bus)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	id := func(n int) contract.SagaID { return contract.SagaID("order-" + string(rune('a'+n))) }
	if _, err := shop.Start(ctx, contract.DefinitionRef{Name: "checkout"}, order{word}, client.ID(id(round))); err != nil {
		t.Fatal(err)
	}
	for n := range round + 1 {
		status, err := shop.Get(ctx, id(n))
		if err != nil || status.Input == nil || !bytes.Contains(status.Input.JSON, []byte(word)) {
			t.Fatalf("%s in round %d: %+v, %v", id(n), round, status, err)
		}
	}
	for { // until the stream holds the commands
		load, err := bus.Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if load.Streams[transport.StreamCommands].Messages > uint64(round) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("no command reaches its stream")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// search returns the files below dir that contain the word.
func search(t *testing.T, dir, word string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(word)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
