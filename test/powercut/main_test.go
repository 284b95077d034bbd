//go:build linux && lab

package powercut

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/lab/world"
)

// How the test binary is told to be one of the processes.
const (
	roleEnv = "AMENDS_POWERCUT_ROLE" // disk, load, or coordinator
	dirEnv  = "AMENDS_POWERCUT_DIR"  // where load keeps its store
	seedEnv = "AMENDS_POWERCUT_SEED" // of what load does
	argsEnv = "AMENDS_POWERCUT_ARGS" // the coordinator's command line, by lines
)

var (
	cuts  = flag.Int("powercut.cuts", 0, "how many power cuts to make; 0: the short form")
	flips = flag.Int("powercut.flips", 0, "how often to damage the file; 0: the short form")
	seed  = flag.Uint64("powercut.seed", 0, "what everything is drawn from; 0: a new one")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := 0
	switch role := os.Getenv(roleEnv); role {
	case "":
		if *seed == 0 {
			*seed = rand.Uint64N(1 << 32)
		}
		world.VerifyMain(m)
		return
	case "disk":
		code = exitOf(serveDisk())
	case "load":
		code = exitOf(work(os.Getenv(dirEnv), os.Getenv(seedEnv)))
	case "coordinator":
		code = cli.Main(strings.Split(os.Getenv(argsEnv), "\n"), nil, os.Stdout, os.Stderr)
	default:
		code = exitOf(fmt.Errorf("there is no role %q", role))
	}
	os.Exit(code)
}

func exitOf(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// rngOf are rng for one purpose.
func rngOf(seed uint64, purpose string) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed, purpose))))
}

// form is a number of repetitions: what the flag says, else the short form, else
// with -short a hint of it.
func form(long, short, hint int) int {
	switch {
	case long > 0:
		return long
	case testing.Short():
		return hint
	default:
		return short
	}
}
