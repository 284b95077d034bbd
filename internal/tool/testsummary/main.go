package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
)

func main() {
	noskips := flag.Bool("noskips", false, "a skipped test is a failure")
	again := flag.String("closing", "", "write the packages' last lines and the summary to this file as well")
	may := flag.String("mayskip", "", "a regular expression of \"package test\" names that skip on every machine")
	flag.Parse()
	summary := &Summary{}
	if *may != "" {
		summary.MaySkip = regexp.MustCompile(*may)
	}
	if err := summary.Read(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	summary.Print(os.Stdout)
	if *again != "" {
		if err := write(*again, summary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if !summary.Good(*noskips) {
		os.Exit(1)
	}
}

// write keeps the end of a run for those who print it again later.
func write(path string, summary *Summary) error {
	var text strings.Builder
	for _, line := range summary.Closing {
		text.WriteString(line + "\n")
	}
	summary.Print(&text)
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
