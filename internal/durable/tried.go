package durable

// mostTried is for how many directories one trial of their file system counts.
const mostTried = 500

// Tried tells whether a directory needs no trial of its own before something is written
// there: one on the same file system went well a moment ago, and this one may be
// written as far as its modes say.
func (c *Convoy) Tried(in *Dir) bool {
	if c == nil {
		return false
	}
	device, ok := in.device()
	if !ok {
		return false
	}
	c.mu.Lock()
	left := c.tried[device]
	if left > 0 {
		c.tried[device]--
	}
	c.mu.Unlock()
	return left > 0 && in.mayWrite()
}

// TriedAbove is Tried of the nearest directory over one that is not there yet.
func (c *Convoy) TriedAbove(path string) bool {
	up, _ := c.above(path)
	return up != nil && c.Tried(up)
}

// Good notes a trial that went well.
func (c *Convoy) Good(in *Dir) {
	if c == nil {
		return
	}
	device, ok := in.device()
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried == nil {
		c.tried = map[uint64]int{}
	}
	c.tried[device] = mostTried
}

// Bad has everything tried again: something could not be written after all.
func (c *Convoy) Bad() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried = nil
}
