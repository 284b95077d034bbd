package machine

// String is the cause in a few words: what, where, by whom, why.
func (c *Cause) String() string {
	if c.Reason == "" {
		return c.brief()
	}
	return c.brief() + ": " + c.Reason
}

// brief is String without the reason, which others wrote.
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
