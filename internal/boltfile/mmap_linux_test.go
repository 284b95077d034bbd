package boltfile

import "testing"

// TestLargeFilesAreNotReadAhead checks that only a small file is read ahead as a whole. A large file is
// read on demand, so that a million waiting sagas do not fill the memory.
func TestLargeFilesAreNotReadAhead(t *testing.T) {
	if mapFlags(populateLimit) == 0 {
		t.Error("a file at the limit is not read ahead")
	}
	if mapFlags(populateLimit+1) != 0 {
		t.Error("a file beyond the limit is read ahead")
	}
}
