package wiretest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// CheckVectors runs a program that checks the vectors in a file; the program's last argument is the
// file's name. CheckVectors checks that the program accepts our vectors, and finds each kind of
// mistake in a copy of our vectors.
func CheckVectors(t *testing.T, program ...string) {
	t.Helper()
	all, err := Vectors()
	if err != nil {
		t.Fatal(err)
	}
	out, code := runProgram(t, append(program, VectorsPath()))
	if want := fmt.Sprintf("%d vectors\n", len(all)); code != 0 || out != want {
		t.Fatalf("exit code %d, want 0; it prints\n%s\nwant %s", code, out, want)
	}
	for name, one := range map[string]struct {
		applies func(v *Vector) bool
		damage  func(v *Vector)
	}{
		"other JSON":     {func(v *Vector) bool { return v.Message == "GetRequest" && len(v.Protobuf) > 0 }, func(v *Vector) { v.JSON = json.RawMessage(`{"id":"order-43"}`) }},
		"unknown field":  {func(v *Vector) bool { return string(v.JSON) == `{}` }, func(v *Vector) { v.JSON = json.RawMessage(`{"no":"field"}`) }},
		"other spelling": {func(v *Vector) bool { return len(v.Also) > 0 }, func(v *Vector) { v.Also = append(v.Also, `{"no":"field"}`) }},
		"other protobuf": {func(v *Vector) bool { return v.Message == "GetRequest" && len(v.Protobuf) > 0 }, func(v *Vector) { v.Protobuf = v.Protobuf[:2] }},
		"valid JSON":     {func(v *Vector) bool { return v.Error != "" }, func(v *Vector) { v.Text = `{}` }},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := append([]Vector(nil), all...)
			for i := range damaged {
				if v := &damaged[i]; one.applies(v) {
					one.damage(v)
					wantFailure(t, program, damaged, v)
					return
				}
			}
			t.Error("no vector can be damaged in this way")
		})
	}
}

// wantFailure checks that the program names the vector that is wrong.
func wantFailure(t *testing.T, program []string, all []Vector, wrong *Vector) {
	t.Helper()
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vectors.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := runProgram(t, append(program, path))
	if name := wrong.String() + ": "; code != 1 || len(out) < len(name) || out[:len(name)] != name {
		t.Errorf("exit code %d, want 1; it prints\n%s\nwant %s…", code, out, name)
	}
}

func runProgram(t *testing.T, args []string) (out string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), args[0], args[1:]...)
	data, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Logf("%s", exit.Stderr)
		return string(data), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data), 0
}
