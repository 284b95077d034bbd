//go:build lab

package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/amends-dev/amends"

// TestOutside copies each example into a separate module and builds it there offline, to prove that
// it uses only public packages.
func TestOutside(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range []string{"tutorial", "order-checkout"} {
		t.Run(example, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
				t.Fatal(err)
			}
			rename(t, dir, module+"/examples/"+example, "example.com/stranger")
			mod := read(t, filepath.Join(root, "go.mod"))
			mod = strings.Replace(mod, "module "+module, "module example.com/stranger", 1) +
				"\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n"
			write(t, filepath.Join(dir, "go.mod"), mod)
			write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(root, "go.sum")))
			for _, args := range [][]string{{"build", "-o", os.DevNull, "."}, {"vet", "./..."}} {
				cmd := exec.CommandContext(t.Context(), "go", args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
		})
	}
}

// rename changes the imports between copied packages to the path of the new module.
func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			write(t, path, strings.ReplaceAll(read(t, path), from+"/", to+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
