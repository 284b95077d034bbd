package tidy

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// counted matches the format of a number before a plural noun, which is wrong if the number is 1.
var counted = regexp.MustCompile(`%(?:d|v|\.0f) (?:[a-z]+ ){0,2}?(sagas|steps|bytes|characters|events|commands|answers|messages|deliveries|changes|letters|definitions|` +
	`files|inputs|runs|commits|copies|rows|entries|ids|branches|nodes|times|lines|attempts|records|orders|tokens|problems|participants|updates|violations|streams|words|numbers|requests|fields|keys|parts|results|elements)\b`)

// bound matches text before a number that cannot be 1: the number is a limit, or it exceeds a limit
// that the text then gives.
var bound = regexp.MustCompile(`(?:at most|up to|more than|longer than|beyond|1 to|the first|instead of) $`)

// alwaysMany lists files whose counts are never 1, with the reason.
var alwaysMany = map[string]string{
	"contract/name.go":                     "beyond the bound of a name, which is told behind it",
	"saga/mapping.go":                      "beyond a limit, which the fix names",
	"internal/boltcheck/page.go":           "pages",
	"saga/check.go":                        "beyond a limit, which the fix names",
	"saga/machine/operate.go":              "limits",
	"saga/walk.go":                         "beyond a limit, which the fix names",
	"store/seal/keys.go":                   "the length of a key",
	"store/cursor.go":                      "beyond a limit",
	"transport/natsbus/payload.go":         "limits",
	"transport/natsbus/request.go":         "beyond a limit",
	"examples/order-checkout/audit/law.go": "more than once, which is what is wrong",
}

// Counts reports texts that say "1 sagas" if the number is 1.
func Counts(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		if f.Test || f.Generated || strings.HasSuffix(f.Package(), "test") || f.Package() == "internal/tool/tidy" || alwaysMany[f.Path] != "" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				return true
			}
			for _, at := range counted.FindAllStringIndex(text, -1) {
				after := text[at[1]:]
				if !bound.MatchString(text[:at[0]]) && !strings.Contains(after, "at most ") && !strings.HasPrefix(after, "/") { // sagas/s is no count
					found = append(found, Finding{t.Line(lit.Pos()), strconv.Quote(text[at[0]:at[1]]) + " reads wrong for 1", "use plural.Of and %s"})
				}
			}
			return true
		})
	}
	return found
}
