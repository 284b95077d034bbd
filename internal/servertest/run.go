package servertest

import (
	"context"

	"github.com/amends-dev/amends/server"
)

// Run runs a server until ctx ends, and calls started with its addresses once it takes work.
func Run(ctx context.Context, c server.Config, started func(server.Addresses)) error {
	s, err := server.New(c)
	if err != nil {
		return err
	}
	done, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		select {
		case <-s.Started():
			if started != nil {
				started(s.Addresses())
			}
		case <-done:
		}
	}()
	err = s.Run(ctx)
	close(done)
	<-told
	return err
}
