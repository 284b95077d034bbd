package coordinator

import (
	"sync"

	"github.com/amends-dev/amends/internal/quota"
)

// service serves requests: it asks the coordinator, and decides what they get to see. It has a
// method for each, in the file of what the request is about.
type service struct {
	c *Coordinator

	reads       *quota.Quota  // of requests that read; see limit.go
	watches     *quota.Quota  // of watch requests that are held
	bulk        *quota.Quota  // of requests about many sagas or dead letters
	looks       chan struct{} // bounds the looks at the store for requests that are held
	subscribing sync.Map      // participants whose subscription is being made
}

func newService(c *Coordinator) *service {
	return &service{
		c: c, reads: quota.New(MaxReads, 0), watches: quota.New(10*c.config.MaxWatches, c.config.MaxWatches),
		bulk: quota.New(MaxBulk, MaxBulkPerCaller), looks: make(chan struct{}, maxLooks),
	}
}
