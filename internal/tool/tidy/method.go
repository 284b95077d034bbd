package tidy

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// mostFiles is the number of files over which the methods of a type may be spread.
const mostFiles = 5

// scattered lists types with methods in more than mostFiles files, with the reason. The list may
// only shrink.
var scattered = map[string]string{
	"internal/coordinator.service":                        "serves every kind of request; a file for each thing that requests are about",
	"internal/coordinator/internal/projection.Projection": "a file for each thing that it tells of sagas",
	"store/boltstore.Store":                               "implements store.Store; a file for each thing that a store does",
	"transport/natsbus.Bus":                               "implements the interfaces of a bus; a file for each thing that a bus does",
}

// listed matches a line of the file map in a doc.go.
var listed = regexp.MustCompile(`(?m)^//\t(\w+\.go):? +\w`)

// Methods reports types with methods in too many files, types that are needlessly listed as
// scattered, and file maps in doc.go that differ from the actual files.
func Methods(t *Tree) []Finding {
	files := map[string][]string{} // files with methods of each type
	for _, f := range t.Go {
		if f.Test || f.Generated {
			continue
		}
		for _, d := range f.AST.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok || function.Recv == nil {
				continue
			}
			name := f.Package() + "." + receiver(function)
			if base := path.Base(f.Path); !slices.Contains(files[name], base) {
				files[name] = append(files[name], base)
			}
		}
	}
	var found []Finding
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if n := len(files[name]); n > mostFiles && scattered[name] == "" {
			found = append(found, Finding{name, fmt.Sprintf("has its methods in %d files: %s", n, strings.Join(files[name], ", ")),
				fmt.Sprintf("join files that are about one noun, until there are %d, or make a part of the type a type of its own", mostFiles)})
		}
	}
	packages := t.Packages()
	for _, name := range slices.Sorted(maps.Keys(scattered)) {
		if slices.Contains(packages, packageOf(name)) && len(files[name]) <= mostFiles {
			found = append(found, Finding{name, "is an exception that is not needed any more", "remove it from the list in internal/tool/tidy"})
		}
	}
	return append(found, fileMaps(t, files)...)
}

// fileMaps compares the file maps in doc.go with the files of the package, and with the files that
// have methods of a scattered type.
func fileMaps(t *Tree, files map[string][]string) []Finding {
	var found []Finding
	for _, f := range t.Go {
		lines := listed.FindAllSubmatch(f.Source, -1)
		if path.Base(f.Path) != "doc.go" || len(lines) == 0 {
			continue
		}
		var names []string
		for _, line := range lines {
			name := string(line[1])
			names = append(names, name)
			if !t.Exists(path.Join(f.Package(), name)) {
				found = append(found, Finding{f.Path, "lists " + name + ", which does not exist", "correct the map of files"})
			}
		}
		for _, name := range slices.Sorted(maps.Keys(scattered)) {
			for _, file := range files[name] {
				if packageOf(name) == f.Package() && !slices.Contains(names, file) {
					found = append(found, Finding{f.Path, "does not list " + file + ", which has methods of " + name, "add it to the map of files"})
				}
			}
		}
	}
	return found
}

// packageOf returns the package in package.Type.
func packageOf(name string) string { return name[:strings.LastIndexByte(name, '.')] }
