package main

import (
	"os"

	"github.com/amends-dev/amends/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
