package definitionfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

// MaxFiles bounds the definition files of one directory.
const MaxFiles = 1000

// Load reads the definitions at path. If path is a directory, Load reads all its files whose names
// end in .json, .yaml or .yml and do not begin with a dot, but no subdirectories. The definitions
// are in the order of the file names. The error joins the problems of all files.
func Load(path string) ([]*saga.Definition, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("load definitions: %w", err)
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = list(path); err != nil {
			return nil, fmt.Errorf("load definitions: %w", err)
		}
	}
	var definitions []*saga.Definition
	var problems []error
	from := map[contract.DefinitionRef]string{}
	for _, file := range files {
		d, err := LoadFile(file)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if other, twice := from[d.Ref()]; twice {
			problems = append(problems, fmt.Errorf("%s: definition %s is in %s as well; keep one, or raise the version of the newer one",
				file, d.Ref(), other))
			continue
		}
		from[d.Ref()] = file
		definitions = append(definitions, d)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return definitions, nil
}

// list returns the definition files of a directory, sorted.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if entry.Name()[0] != '.' && slices.Contains(extensions, filepath.Ext(entry.Name())) {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("%s holds %d definition files; at most %d are allowed", dir, len(files), MaxFiles)
	}
	return files, nil
}

var extensions = []string{".json", ".yaml", ".yml"}

// LoadFile reads one definition. The extension of the file determines whether it is JSON or YAML.
func LoadFile(file string) (*saga.Definition, error) {
	data, err := read(file)
	if err != nil {
		return nil, err
	}
	var d *saga.Definition
	switch filepath.Ext(file) {
	case ".json":
		d, err = saga.ParseJSON(data)
	case ".yaml", ".yml":
		d, err = ParseYAML(data)
	default:
		err = errors.New("the name must end in .json, .yaml or .yml")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

// read reads a regular file of bounded size.
func read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	data, err := io.ReadAll(io.LimitReader(f, saga.MaxDefinition+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(data) > saga.MaxDefinition {
		return nil, fmt.Errorf("%s: is longer than %d bytes, the limit of a definition", file, saga.MaxDefinition)
	}
	return data, nil
}
