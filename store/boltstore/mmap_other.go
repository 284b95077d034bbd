//go:build !linux

package boltstore

const (
	mapFlags       = 0
	defaultMapSize = 0
)
