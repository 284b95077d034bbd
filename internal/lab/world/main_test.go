//go:build linux && lab

package world

import "testing"

func TestMain(m *testing.M) { VerifyMain(m) }
