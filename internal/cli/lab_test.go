//go:build lab

package cli_test

import "testing"

// TestLabScripts runs the scripts whose measurements take minutes.
func TestLabScripts(t *testing.T) { scripts(t, "lab") }
