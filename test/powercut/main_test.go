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

// The environment variables that give the test binary its role.
const (
	roleEnv = "AMENDS_POWERCUT_ROLE" // disk, load, or coordinator
	dirEnv  = "AMENDS_POWERCUT_DIR"  // directory of the load's store
	seedEnv = "AMENDS_POWERCUT_SEED" // seed of the load
	argsEnv = "AMENDS_POWERCUT_ARGS" // arguments of the coordinator, one per line
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

// rngOf returns a random number generator for one purpose.
func rngOf(seed uint64, purpose string) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed, purpose))))
}

// form returns a number of repetitions: the value of the flag, or else the number of the short
// form. With -short it returns hint.
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
