package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/amends-dev/amends/internal/terminal"
)

type versionCmd struct{ outputFlag }

// Run prints the version.
func (c *versionCmd) Run(env *environment) error {
	v := struct {
		Version string `json:"version"`
		Go      string `json:"go"`
		System  string `json:"system"`
	}{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return c.print(env.stdout, v, func(w *terminal.Stream) {
		w.Printf("amends coordinator %s (%s, %s)\n", v.Version, v.Go, v.System)
	})
}

// version returns the version of the module as recorded by the go command: a tag, a pseudo-version
// or "(devel)".
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
