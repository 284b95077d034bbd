package transport

import "time"

// Bounds of an api.SubscribeRequest.
const (
	MinAckWait    = time.Second
	MaxAckWait    = time.Hour
	MostInFlight  = 1 << 16
	MaxBundleSize = 1 << 10
)
