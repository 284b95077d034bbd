package cli

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// arrange rewrites common spellings of a command line to the form that the parser accepts. No
// arguments and "help" become --help, "help list" becomes "list --help", and --version becomes
// "version". Flags before the command are moved to its end. All other arguments are left to the
// parser.
func arrange(model *kong.Kong, args []string) []string {
	if len(args) == 0 {
		return []string{"--help"}
	}
	flags, rest := leading(model.Model.Node, args)
	switch {
	case len(rest) == 0 && slices.Contains(flags, "--version"):
		rest, flags = []string{"version"}, slices.DeleteFunc(flags, func(f string) bool { return f == "--version" })
	case len(rest) == 0:
		return args
	case rest[0] == "help":
		rest, flags = rest[1:], append(flags, "--help")
	}
	end := len(rest)
	if literal := slices.Index(rest, "--"); literal >= 0 {
		end = literal
	}
	return slices.Concat(rest[:end], flags, rest[end:])
}

// leading splits args into the flags before the command, with their values, and the rest. It
// returns no flags if one of the flags before the command belongs to no command.
func leading(root *kong.Node, args []string) (flags, rest []string) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" || arg == "-" || !strings.HasPrefix(arg, "-") {
			return args[:i:i], args[i:]
		}
		if arg == "--version" || arg == "--help" || arg == "-h" {
			continue
		}
		name, _, hasValue := strings.Cut(arg, "=")
		flag := findFlag(root, name)
		switch {
		case flag == nil:
			return nil, args
		case !hasValue && !flag.IsBool() && len(arg) > 2 && arg[1] != '-': // -ojson
		case !hasValue && !flag.IsBool():
			i++
		}
	}
	return args, nil
}

// findFlag returns the flag that written names, for example as --output, -o or -ojson. It searches
// all commands below node.
func findFlag(node *kong.Node, written string) *kong.Flag {
	for _, flag := range node.Flags {
		switch {
		case written == "--"+flag.Name, flag.Tag.Negatable != "" && written == "--no-"+flag.Name:
			return flag
		case flag.Short != 0 && strings.HasPrefix(written, "-"+string(flag.Short)):
			return flag
		}
	}
	for _, child := range node.Children {
		if flag := findFlag(child, written); flag != nil {
			return flag
		}
	}
	return nil
}
