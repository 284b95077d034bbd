package boltstore

import "testing"

// A small file is read ahead as a whole. Of a large one only used pages are read, so that a
// million waiting sagas do not fill the memory.
func TestLargeFilesAreNotReadAhead(t *testing.T) {
	if mapFlags(populateLimit) == 0 {
		t.Error("a file at the limit is not read ahead")
	}
	if mapFlags(populateLimit+1) != 0 {
		t.Error("a file beyond the limit is read ahead")
	}
}
