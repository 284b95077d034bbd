//go:build lab

package timelapse

import (
	"os"
	"testing"

	"github.com/nats-io/nats-server/v2/server/ats"
	"go.uber.org/goleak"
)

// The server's clock for access times is one goroutine of the process. It has to
// be started outside of the bubbles: a bubble in which it ticks never comes to
// rest by itself, and the second bubble would wait on channels of the first.
func TestMain(m *testing.M) {
	ats.Register()
	code := m.Run()
	ats.Unregister()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}
