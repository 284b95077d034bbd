package setting

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/amends-dev/amends/internal/masked"
)

// Shown returns a flag's value with masked secrets.
func Shown(flag *kong.Flag) string {
	value := fmt.Sprint(flag.Target.Interface())
	switch {
	case value == "":
		return ""
	case flag.Tag.Has("secret"):
		return masked.Mark
	case flag.PlaceHolder == "URL", strings.Contains(value, "://"): // the scheme is optional in a URL flag
		return masked.URLs(value)
	}
	return value
}
