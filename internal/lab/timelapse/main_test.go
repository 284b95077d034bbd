//go:build lab

package timelapse

import (
	"os"
	"testing"

	"github.com/nats-io/nats-server/v2/server/ats"
	"go.uber.org/goleak"
)

// TestMain starts the server's clock for access times, which is one goroutine per process. It must
// be started outside the bubbles: a bubble with a ticking clock never comes to rest, and a second
// bubble would wait on channels of the first.
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
