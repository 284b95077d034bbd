package coordinator

// FillWaiters makes c hold as many wait requests of a caller as it may, until undo is called.
func FillWaiters(c *Coordinator, caller string) (undo func()) {
	n := 0
	for c.waiters.quota.Take(caller) == nil {
		n++
	}
	return func() {
		for range n {
			c.waiters.quota.Give(caller)
		}
	}
}
