package server

import (
	"context"
	"time"
)

// StartWithin is Start with a limit on stopping after a start that was given up.
func (s *Server) StartWithin(ctx context.Context, limit time.Duration) error {
	return s.start(ctx, limit)
}
