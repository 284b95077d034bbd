package tidy

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// composition matches the name of a Compose file.
var composition = regexp.MustCompile(`^(?:docker-)?compose.*\.ya?ml$`)

// numbered matches a numeric user that is not root. A user name is not enough, because its number
// depends on the image.
var numbered = regexp.MustCompile(`^[1-9][0-9]*:[0-9]+$`)

// container holds the security settings of a service in a Compose file.
type container struct {
	User       string
	ReadOnly   bool `yaml:"read_only"`
	Privileged bool
	Drop       []string `yaml:"cap_drop"`
	Add        []string `yaml:"cap_add"`
	Options    []string `yaml:"security_opt"`
	Ports      []string
}

// Containers reports containers with more privileges than they need.
func Containers(t *Tree) []Finding {
	var found []Finding
	for _, text := range t.Texts {
		if !composition.MatchString(path.Base(text.Path)) {
			continue
		}
		var file struct{ Services map[string]container }
		if err := yaml.Unmarshal(text.Source, &file); err != nil {
			found = append(found, Finding{text.Path, "cannot be read: " + err.Error(), "write it as Compose reads it, ports and options as lists of strings"})
		}
		for _, name := range slices.Sorted(maps.Keys(file.Services)) {
			for _, b := range file.Services[name].breaches() {
				found = append(found, Finding{text.Path + ", " + name, b, "see x-confined of docker-compose.yml"})
			}
		}
	}
	return found
}

func (c container) breaches() []string {
	var all []string
	add := func(broken bool, what string) {
		if broken {
			all = append(all, what)
		}
	}
	add(!numbered.MatchString(c.User), "its user may be root: give ids")
	add(!c.ReadOnly, "it can write to its image: read_only is not set")
	add(c.Privileged || !slices.Equal(c.Drop, []string{"ALL"}) || len(c.Add) > 0, "it has capabilities")
	add(!slices.Contains(c.Options, "no-new-privileges:true"), "it can gain privileges")
	for _, p := range c.Ports {
		add(!strings.HasPrefix(p, "127.0.0.1:"), "port "+p+" is open to other machines")
	}
	return all
}
