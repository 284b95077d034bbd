package coordinator

// FillWaiters makes c hold as many requests as it may, until undo is called.
func FillWaiters(c *Coordinator) (undo func()) {
	add := func(n int) {
		c.waiters.mu.Lock()
		defer c.waiters.mu.Unlock()
		c.waiters.length += n
	}
	add(MaxWaiters)
	return func() { add(-MaxWaiters) }
}
