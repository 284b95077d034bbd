package python

import (
	"os"
	"os/exec"
	"testing"

	"github.com/amends-dev/amends/internal/wiretest"
)

// TestVectors checks the vectors of docs/WIRE.md with an encoder and a decoder in Python (I8, I9).
func TestVectors(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed; install Python 3.8 or later")
	}
	for _, name := range []string{"vectors.py", "../../proto/amends/api/v1/api.proto"} { // tells the test cache about the dependencies
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	wiretest.CheckVectors(t, "python3", "-B", "vectors.py")
}
