package cli

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/alecthomas/kong"
)

// decimal parses a whole number in plain decimal digits. The parser's own mapper would read 017 as
// octal 15, but a user who discards dead letter 017 means 17.
func decimal(ctx *kong.DecodeContext, target reflect.Value) error {
	t, err := ctx.Scan.PopValue("number")
	if err != nil {
		return err
	}
	text, bits := fmt.Sprint(t.Value), target.Type().Bits()
	var back string
	if target.CanUint() {
		var n uint64
		n, err = strconv.ParseUint(text, 10, bits)
		target.SetUint(n)
		back = strconv.FormatUint(n, 10)
	} else {
		var n int64
		n, err = strconv.ParseInt(text, 10, bits)
		target.SetInt(n)
		back = strconv.FormatInt(n, 10)
	}
	if err != nil || back != text {
		return fmt.Errorf("%q is not a whole number in decimal digits, such as 17", text)
	}
	return nil
}

// decimals returns options that use decimal for every number on the command line, in the
// environment and in the configuration file.
func decimals() (options []kong.Option) {
	for _, kind := range []reflect.Kind{reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64} {
		options = append(options, kong.KindMapper(kind, kong.MapperFunc(decimal)))
	}
	return options
}
