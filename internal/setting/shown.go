package setting

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/amends-dev/amends/internal/masked"
)

// Shown is a flag's value as it may be shown to anybody: without what is secret.
func Shown(flag *kong.Flag) string {
	value := fmt.Sprint(flag.Target.Interface())
	switch {
	case value == "":
		return ""
	case flag.Tag.Has("secret"):
		return masked.Mark
	case flag.PlaceHolder == "URL", strings.Contains(value, "://"): // the former may do without a scheme
		return masked.URLs(value)
	}
	return value
}
