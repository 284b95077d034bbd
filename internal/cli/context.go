package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/amends-dev/amends/internal/terminal"
)

type contextCmd struct {
	List   contextListCmd   `cmd:"" help:"List the contexts; the star marks the one in use."`
	Set    contextSetCmd    `cmd:"" help:"Add or change a context."`
	Use    contextUseCmd    `cmd:"" help:"Use a context from now on."`
	Remove contextRemoveCmd `cmd:"" help:"Remove a context."`
}

// Help describes contexts.
func (contextCmd) Help() string {
	return `A context names a coordinator: its address, the file that holds the
token, and the CA to trust. Contexts are kept in the file that AMENDS_CONTEXTS names, or else in
amends/contexts.yaml below the user's configuration directory.

Examples:
  coordinator context set production --server https://sagas.example.com --token-file ~/.amends-token
  coordinator context use production
  coordinator list --context staging`
}

// contexts is the content of the contexts file.
type contexts struct {
	Current  string                 `yaml:"current,omitempty"`
	Contexts map[string]*namedPlace `yaml:"contexts,omitempty"`
}

// namedPlace holds one context.
type namedPlace struct {
	Server    string `yaml:"server" json:"server"`
	TokenFile string `yaml:"token_file,omitempty" json:"token_file,omitempty"`
	CA        string `yaml:"ca,omitempty" json:"ca,omitempty"`
	Plain     bool   `yaml:"plaintext_token,omitempty" json:"plaintext_token,omitempty"`
}

// token returns the content of the token file, or "" if the context has no token file.
func (p *namedPlace) token() (string, error) {
	if p.TokenFile == "" {
		return "", nil
	}
	data, err := os.ReadFile(p.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read the context's token: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// contextsFile returns the path of the contexts file.
func contextsFile() (string, error) {
	if path := os.Getenv("AMENDS_CONTEXTS"); path != "" {
		return path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no configuration directory: %w; set AMENDS_CONTEXTS to a file", err)
	}
	return filepath.Join(dir, "amends", "contexts.yaml"), nil
}

// loadContexts reads the contexts file. If it does not exist, there are no contexts.
func loadContexts() (c contexts, path string, err error) {
	c.Contexts = map[string]*namedPlace{}
	if path, err = contextsFile(); err != nil {
		return c, "", err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, path, nil
	}
	if err != nil {
		return c, path, err
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, path, fmt.Errorf("%s is not a file of contexts: %w", path, err)
	}
	for name, p := range c.Contexts {
		if p == nil || p.Server == "" {
			return c, path, fmt.Errorf("%s: context %s names no server", path, name)
		}
	}
	return c, path, nil
}

func (c *contexts) save(path string) error {
	data, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	_, err = writeWhole(path, func(w io.Writer) (int64, error) {
		n, err := w.Write(data)
		return int64(n), err
	})
	return err
}

// chosenContext returns the named context, or the current one if name is "". It returns nil if name
// is "" and there is no current context.
func chosenContext(name string) (*namedPlace, error) {
	c, path, err := loadContexts()
	switch {
	case err != nil && name == "" && path == "":
		return nil, nil // without a home directory there are no contexts, and none was requested
	case err != nil:
		return nil, err
	case name == "":
		name = c.Current
	}
	if name == "" {
		return nil, nil
	}
	p, ok := c.Contexts[name]
	if !ok {
		return nil, fmt.Errorf("no context %q in %s", name, path)
	}
	return p, nil
}

func (c *contexts) names() []string {
	names := make([]string, 0, len(c.Contexts))
	for name := range c.Contexts {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

type contextListCmd struct{ outputFlag }

// Run lists the contexts.
func (cmd *contextListCmd) Run(env *environment) error {
	c, _, err := loadContexts()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	type row struct {
		Name    string `json:"name"`
		Current bool   `json:"current"`
		*namedPlace
	}
	all := []row{}
	for _, name := range c.names() {
		all = append(all, row{name, name == c.Current, c.Contexts[name]})
	}
	return cmd.print(env.stdout, all, func(w *terminal.Stream) {
		rows := [][]string{{"", "NAME", "SERVER", "TOKEN FILE", "CA"}}
		for _, r := range all {
			star := ""
			if r.Current {
				star = "*"
			}
			rows = append(rows, []string{star, r.Name, r.Server, r.TokenFile, r.CA})
		}
		w.Table(rows)
	})
}

type contextSetCmd struct {
	Name      string `arg:"" help:"Name of the context."`
	Server    string `required:"" placeholder:"URL" help:"The coordinator's API, such as https://sagas.example.com."`
	TokenFile string `type:"path" placeholder:"FILE" help:"The file that holds the bearer token; the token itself is not kept."`
	CA        string `name:"ca" type:"path" placeholder:"FILE" help:"Certificates of the authorities to trust, PEM."`
	Plain     bool   `name:"plaintext-token" help:"Send the token to this server without TLS; only over trusted networks."`
}

// Run adds or changes a context. The first context becomes the current one.
func (cmd *contextSetCmd) Run(env *environment) error {
	t, err := (&serverFlags{Server: cmd.Server, Token: cmp.Or(cmd.TokenFile, "none"), CA: "none", Plain: cmd.Plain || cmd.TokenFile == ""}).target()
	if err = cmp.Or(err, t.inTheClear()); err != nil {
		return err
	}
	return changeContexts(env, func(c *contexts) (string, error) {
		c.Contexts[cmd.Name] = &namedPlace{Server: t.server, TokenFile: cmd.TokenFile, CA: cmd.CA, Plain: cmd.Plain}
		if c.Current == "" {
			c.Current = cmd.Name
		}
		return "set " + cmd.Name, nil
	})
}

type contextUseCmd struct {
	Name string `arg:"" help:"Name of the context."`
}

// Run makes a context the current one.
func (cmd *contextUseCmd) Run(env *environment) error {
	return changeContexts(env, func(c *contexts) (string, error) {
		if c.Contexts[cmd.Name] == nil {
			return "", fmt.Errorf("no context %q; known contexts: %s", cmd.Name, words(c.names()))
		}
		c.Current = cmd.Name
		return "using " + cmd.Name, nil
	})
}

type contextRemoveCmd struct {
	Name string `arg:"" help:"Name of the context."`
}

// Run removes a context.
func (cmd *contextRemoveCmd) Run(env *environment) error {
	return changeContexts(env, func(c *contexts) (string, error) {
		if !slices.Contains(c.names(), cmd.Name) {
			return "", fmt.Errorf("no context %q; known contexts: %s", cmd.Name, words(c.names()))
		}
		delete(c.Contexts, cmd.Name)
		if c.Current == cmd.Name {
			c.Current = ""
		}
		return "removed " + cmd.Name, nil
	})
}

// changeContexts reads the contexts file, applies change, and writes the file.
func changeContexts(env *environment, change func(*contexts) (did string, err error)) error {
	c, path, err := loadContexts()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	did, err := change(&c)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	if err := c.save(path); err != nil {
		return err
	}
	env.stdout.Printf("%s (%s)\n", did, path)
	return nil
}
