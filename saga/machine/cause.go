package machine

// String returns a short description of the cause: what, where, by whom, why.
func (c *Cause) String() string {
	if c.Reason == "" {
		return c.brief()
	}
	return c.brief() + ": " + c.Reason
}

// brief returns the description without the reason, which comes from outside.
func (c *Cause) brief() string {
	text := string(c.Kind)
	if c.Step != "" {
		text += " at " + string(c.Step)
	}
	if c.By != "" {
		text += " by " + c.By
	}
	return text
}
