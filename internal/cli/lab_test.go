//go:build lab

package cli_test

import "testing"

// TestLabScripts runs the scripts that measure for minutes.
func TestLabScripts(t *testing.T) { scripts(t, "lab") }
