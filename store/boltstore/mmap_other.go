//go:build !linux

package boltstore

const defaultMapSize = 0

func mapFlags(int64) int { return 0 }
