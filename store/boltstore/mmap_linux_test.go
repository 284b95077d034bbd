package boltstore

import "testing"

// A small file is read ahead in one go; of a large one only what is used comes into
// memory, so that a million sagas that wait do not fill it.
func TestLargeFilesAreNotReadAhead(t *testing.T) {
	if mapFlags(populateLimit) == 0 {
		t.Error("a file at the limit is not read ahead")
	}
	if mapFlags(populateLimit+1) != 0 {
		t.Error("a file beyond the limit is read ahead")
	}
}
