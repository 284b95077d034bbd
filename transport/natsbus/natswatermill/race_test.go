//go:build race

package natswatermill_test

const raceDetector = true
