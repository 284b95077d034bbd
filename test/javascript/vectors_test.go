package javascript

import (
	"os"
	"os/exec"
	"testing"

	"github.com/amends-dev/amends/internal/wiretest"
)

// TestVectors checks the vectors of docs/WIRE.md with an encoder and a decoder in JavaScript (I8,
// I9).
func TestVectors(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed; install Node 20 or later")
	}
	for _, name := range []string{"vectors.mjs", "../../proto/amends/api/v1/api.proto"} { // tells the test cache about the dependencies
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	wiretest.CheckVectors(t, "node", "vectors.mjs")
}
