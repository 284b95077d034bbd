//go:build !crashpoints

package crashpoint

// Enabled reports whether this build can crash at crash points.
const Enabled = false

// Here marks a point at which tests crash the process. In this build it does nothing, at no cost.
func Here(Point) {}

// Wrap returns seam. In a build with the tag crashpoints, a test program can wrap it with a
// function for the interface T.
func Wrap[T any](seam T) T { return seam }
