package setting

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/amends-dev/amends/internal/masked"
)

// Source finds the value of a flag in the environment, else in the config file, else in the
// default. It records where it found each value. It collects all problems instead of stopping at
// the first. Use a Source for one command line only.
type Source struct {
	lookup   func(string) (string, bool)
	readFile func(string) ([]byte, error)
	from     map[string]string // flag → "env AMENDS_HTTP", "file amends.yaml", "default"
	problems []error
	path     string            // path of the config file, or ""
	file     map[string]string // values of the config file
	read     map[*kong.Flag]bool
}

var _ kong.Resolver = (*Source)(nil)

// New returns a Source that reads variables with lookup (os.LookupEnv) and the config file with
// readFile (os.ReadFile).
func New(lookup func(string) (string, bool), readFile func(path string) ([]byte, error)) *Source {
	return &Source{lookup: lookup, readFile: readFile, from: map[string]string{}, read: map[*kong.Flag]bool{}}
}

// Of returns the origin of a flag's value: "flag", "env AMENDS_HTTP", "file amends.yaml" or
// "default".
func (o *Source) Of(flag string) string {
	if from, ok := o.from[flag]; ok {
		return from
	}
	return "flag"
}

// Problem returns all problems of the environment and the config file, or nil if there are none.
func (o *Source) Problem() error { return errors.Join(o.problems...) }

// Validate implements kong.Resolver. It does nothing, because Resolve checks each value.
func (o *Source) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It returns the value of a flag that is not on the command line,
// or nil for the default.
func (o *Source) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, f := range parent.Flags {
		if f.Name == "config" && !o.read[f] {
			o.read[f] = true
			o.load(fmt.Sprint(ctx.FlagValue(f)), parent.Flags)
		}
	}
	for _, name := range flag.Envs {
		if value, ok := o.lookup(name); ok {
			o.from[flag.Name] = "env " + name
			return o.checked(flag, value, name)
		}
	}
	if value, ok := o.file[flag.Name]; ok {
		o.from[flag.Name] = "file " + o.path
		return o.checked(flag, value, o.path+": "+flag.Name)
	}
	o.from[flag.Name] = "default"
	return nil, nil
}

// checked returns value if it is valid for the flag. Otherwise it records the problem and returns
// the default, so that further problems are found.
func (o *Source) checked(flag *kong.Flag, value, where string) (any, error) {
	scratch := reflect.New(flag.Target.Type()).Elem()
	err := flag.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), scratch)
	if err == nil && flag.Enum != "" && !flag.EnumMap()[fmt.Sprint(scratch)] {
		err = fmt.Errorf("must be one of %s", strings.Join(flag.EnumSlice(), ", "))
	}
	if err == nil {
		return value, nil
	}
	why := strings.TrimPrefix(err.Error(), "--"+flag.Name+": ")
	if flag.Tag.Has("secret") {
		value, why = "(secret)", "it is not of the required form" // the error of kong quotes the value
	}
	o.problems = append(o.problems, fmt.Errorf("%s: %q is not a value for --%s: %s", where, masked.URLs(value), flag.Name, masked.Text(why)))
	o.from[flag.Name] = "default, because " + where + " is wrong"
	if !flag.HasDefault {
		return reflect.Zero(flag.Target.Type()).Interface(), nil // "" is not valid for every flag
	}
	return flag.Default, nil
}

// load reads the config file, a YAML mapping of flag names to values.
func (o *Source) load(path string, flags []*kong.Flag) {
	if path == "" {
		return
	}
	o.path = path
	data, err := o.readFile(path)
	if err != nil {
		o.problems = append(o.problems, fmt.Errorf("read the config file: %w", err))
		return
	}
	o.parse(path, data, flags)
}

// parse parses the content of the config file.
func (o *Source) parse(path string, data []byte, flags []*kong.Flag) {
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		if mistyped, ok := errors.AsType[*yaml.TypeError](err); ok {
			err = errors.New(quoted.ReplaceAllString(strings.Join(mistyped.Errors, "; "), "the value"))
		}
		o.problems = append(o.problems, fmt.Errorf("%s is not a YAML mapping from names of flags to values: %w", path, err))
		return
	}
	var known []string
	for _, f := range flags {
		if f.Name != "config" && f.Name != "help" && f.Name != "output" {
			known = append(known, f.Name)
		}
	}
	o.file = map[string]string{}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		if !slices.Contains(known, key) {
			o.problems = append(o.problems, fmt.Errorf("%s: unknown key %q%s", path, key, suggest(key, known)))
			continue
		}
		text, err := scalar(values[key])
		if err != nil {
			o.problems = append(o.problems, fmt.Errorf("%s: %s: %w", path, key, err))
			continue
		}
		o.file[key] = text
	}
}

// quoted matches the text that YAML's errors quote from the file. It may be a secret.
var quoted = regexp.MustCompile("`[^`]*`?")

// scalar formats a value of the config file in the same way as on the command line.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int:
		return fmt.Sprint(v), nil
	case float64:
		return strings.TrimSuffix(fmt.Sprintf("%f", v), ".000000"), nil
	case nil:
		return "", errors.New("has no value; give one, or remove the key")
	default:
		return "", errors.New("has a value of an unsupported type; use text, a number, true or false")
	}
}

// suggest returns a hint with the most similar known key, or else with all known keys.
func suggest(key string, known []string) string {
	best, distance := "", 4
	for _, k := range known {
		if d := editDistance(strings.ReplaceAll(strings.ToLower(key), "_", "-"), k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	sort.Strings(known)
	return "; the keys are " + strings.Join(known, ", ")
}

// editDistance returns the Levenshtein distance between two short words.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
