//go:build !linux

package logstore

const defaultMapSize = 0

func mapFlags(int64) int { return 0 }
