package cli

import (
	"io"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Which shell: ${enum}."`
}

// Help explains where to install the script.
func (completionCmd) Help() string {
	return `Prints a script that completes commands, flags and their values.

Examples:
  source <(coordinator completion bash)                                        # in ~/.bashrc
  coordinator completion zsh > "${fpath[1]}/_coordinator"
  coordinator completion fish > ~/.config/fish/completions/coordinator.fish`
}

// completionScripts holds the scripts by shell. They run "coordinator complete" to get the
// candidates.
var completionScripts = map[string]string{
	"bash": `_coordinator() {
	local IFS=$'\n'
	COMPREPLY=($(coordinator complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _coordinator coordinator
`,
	"zsh": `#compdef coordinator
_coordinator() {
	local -a found
	found=("${(@f)$(coordinator complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _coordinator coordinator
`,
	"fish": `complete -c coordinator -a '(coordinator complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}

// Run prints the script.
func (c *completionCmd) Run(env *environment) error {
	_, err := io.WriteString(env.stdout.Lines(), completionScripts[c.Shell])
	return err
}

// completeCmd prints candidates for the scripts of completionCmd.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words of the line so far, without the program; the last one is to be completed."`
}

// Run prints the candidates, one per line.
func (c *completeCmd) Run(env *environment) error {
	for _, word := range candidates(env.model.Model.Node, c.Words) {
		env.stdout.Printf("%s\n", word)
	}
	return nil
}

// candidates returns the words that may replace the last word.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last, value := words[len(words)-1], (*kong.Flag)(nil)
	for _, word := range words[:len(words)-1] {
		switch {
		case value != nil:
			value = nil // the last word is the value of this flag
		case strings.HasPrefix(word, "-"):
			if flag := flagOf(node, word); flag != nil && !flag.IsBool() && !strings.Contains(word, "=") {
				value = flag
			}
		default:
			if child := childOf(node, word); child != nil {
				node = child
			}
		}
	}
	var all []string
	switch {
	case value != nil:
		all = value.EnumSlice()
	case strings.HasPrefix(last, "-"):
		for _, group := range node.AllFlags(true) {
			for _, flag := range group {
				all = append(all, "--"+flag.Name)
			}
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				all = append(all, child.Name)
			}
		}
		for _, positional := range node.Positional {
			all = append(all, positional.EnumSlice()...)
		}
	}
	return fitting(all, last)
}

// fitting returns the words with the prefix, sorted and without duplicates.
func fitting(all []string, prefix string) []string {
	seen, found := map[string]bool{"": true}, []string{}
	for _, word := range all {
		if strings.HasPrefix(word, prefix) && !seen[word] {
			seen[word] = true
			found = append(found, word)
		}
	}
	sort.Strings(found)
	return found
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// flagOf returns the flag that a word such as --phase, --phase=x or -p names.
func flagOf(node *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
				return flag
			}
		}
	}
	return nil
}
