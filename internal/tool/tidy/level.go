package tidy

import (
	"fmt"
	"strconv"
	"strings"
)

// levels defines the layers of the repository (ARCHITECTURE.md). A package imports only packages of
// lower levels. The longest matching prefix applies; a package that no prefix matches is a finding.
var levels = map[string]int{
	"compensation": 0,
	"contract":     0,
	"proto":        0,

	"internal/boltcheck":   0,
	"internal/crashpoint":  0, // its functions are empty without the build tag
	"internal/loglimit":    0,
	"internal/quota":       0,
	"internal/masked":      0,
	"internal/natsaccount": 0,
	"internal/plural":      0,
	"internal/pool":        0,
	"internal/waiting":     0,
	"internal/protoconv":   5,

	"api":                 5,
	"internal/strictjson": 6,
	"internal/apipb":      7,

	"saga/internal/quote":    6,
	"saga/internal/datatest": 6,
	"saga/internal/schema":   7,
	"saga/machine":           8,
	"saga/internal/mapping":  9,
	"saga":                   10,
	"internal/sagapb":        15,
	"saga/definitionfile":    15,
	"saga/sagatest":          15,
	"saga/diagram":           15,
	"transport":              10,
	"outbox":                 20,
	"ownership":              20,
	"internal/outboxpb":      25,
	"store":                  30,
	"store/log":              5,
	"store/seal":             5,

	"internal/boltfile":                  35,
	"transport/natsbus/internal":         35,
	"transport/natsbus/internal/percent": 33,
	"transport/natsbus/internal/wire":    34,
	"transport/natsbus/embedded":         38,
	"transport/membus":                   40,
	"transport/natsbus":                  40,
	"transport/watermillbus":             45,
	"transport/natsbus/natswatermill":    45,
	"transport/transporttest":            45,
	"store/memstore":                     40,
	"store/boltstore":                    40,
	"store/storetest":                    45,

	"internal/coordinator/internal/projection": 45,

	"internal/coordinator": 50,
	"participant":          50,
	"client":               50,

	"participant/sqlinbox":         55,
	"participant/boltinbox":        55,
	"participant/watermillcarrier": 55,
	"participant/participanttest":  56,
	"coordinatortest":              56,
	"observe/tracing":              55,
	"internal/otlp":                56,
	"internal/observe":             57,

	"internal/access": 57,
	"internal":        60,
	"server":          61,
	"internal/doctor": 62,
	"internal/cli":    65,
	"internal/lab":    66,

	"cmd":      70,
	"examples": 70,
	"test":     70,
}

// level returns the level of a package path below Module, and the prefix that determined it.
func level(pkg string) (level int, prefix string, known bool) {
	for p := pkg; ; {
		if n, ok := levels[p]; ok {
			return n, p, true
		}
		slash := strings.LastIndexByte(p, '/')
		if slash < 0 {
			return 0, "", false
		}
		p = p[:slash]
	}
}

// Levels reports imports that do not point strictly downward, and packages without a level. Tests
// may import packages of their own level and above, but no programs.
func Levels(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		from, area, known := level(f.Package())
		if !known {
			found = append(found, Finding{f.Path, "package " + f.Package() + " has no level",
				"give it one in internal/tool/tidy/level.go and a line in ARCHITECTURE.md"})
			continue
		}
		for _, spec := range f.AST.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			target, ours := strings.CutPrefix(imported, Module+"/")
			if !ours {
				continue
			}
			if what := upward(f, from, area, target); what != "" {
				found = append(found, Finding{t.Line(spec.Pos()), what,
					"turn the arrow round: let the lower package declare a small interface, or move the shared type down"})
			}
		}
	}
	return found
}

// upward returns what is wrong with an import, or "" if nothing is.
func upward(f *GoFile, from int, area, target string) string {
	to, toArea, known := level(target)
	program := toArea == "cmd" || toArea == "examples" || toArea == "test"
	switch {
	case !known:
		return "imports " + target + ", which has no level"
	case program && area != toArea:
		return "imports " + target + ": nobody imports a program"
	case f.Test, to < from, area == toArea && (area == "proto" || from >= levels["cmd"]):
		return ""
	}
	return fmt.Sprintf("package %s (level %d) imports %s (level %d): arrows point strictly downward", f.Package(), from, target, to)
}

// Outside reports imports of examples that users outside the repository cannot use. A folder below
// this module's path may import internal packages, but a copy of the folder elsewhere may not.
func Outside(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		if !strings.HasPrefix(f.Path, "examples/") {
			continue
		}
		for _, spec := range f.AST.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if strings.HasPrefix(imported, Module+"/internal/") {
				found = append(found, Finding{t.Line(spec.Pos()), "imports " + imported + ", which strangers cannot",
					"use what is public, or make public what they need as well"})
			}
		}
	}
	return found
}
