//go:build linux && lab

package reliability

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/lab/world"
)

// The environment variables that give the test binary its role.
const (
	roleEnv  = "AMENDS_RELIABILITY_ROLE" // bus, coordinator, or the name of a participant
	dirEnv   = "AMENDS_RELIABILITY_DIR"  // where the process keeps its data
	urlEnv   = "AMENDS_RELIABILITY_URL"  // URL of its proxy to the NATS server
	plantEnv = "AMENDS_RELIABILITY_BUG"  // a planted bug: forgetful or hasty

	takeOverEnv = "AMENDS_RELIABILITY_TAKE_OVER" // if not empty, the coordinator takes over the prefix
)

var (
	cycles = flag.Int("reliability.cycles", 0, "how many faults to make; 0: the short form")
	seed   = flag.Uint64("reliability.seed", 0, "what the faults are drawn from; 0: a new one")
	outage = flag.Duration("reliability.outage", 3*time.Second, "how long TestOutages has the bus away each time")
	only   = flag.String("reliability.only", "", "make only the faults whose names match this regular expression")
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := play(ctx, role); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	world.VerifyMain(m)
}
