//go:build !race

package natswatermill_test

const raceDetector = false
