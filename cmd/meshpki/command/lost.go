package command

import (
	"context"

	"github.com/meshpki/meshpki/ca"
)

// noteLost keeps why an authority of the state directory cannot be read; nil is that
// it can.
func (c *call) noteLost(err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err != nil {
		c.lost = err
	}
}

// sayLost warns of an authority of the state directory that cannot be read: what is
// fresh stays so, and nothing that is due can be renewed. Where that was told already,
// with what was due, it is not told again.
func (c *call) sayLost(told bool) bool {
	c.reading.Lock()
	lost := c.lost
	c.reading.Unlock()
	if lost == nil {
		return false
	}
	if !told {
		c.notice("warning: nothing that falls due can be renewed: %s", plain(lost))
	}
	return true
}

// outlook is the one by the manifest in use. That an authority of the state directory
// cannot be read is told when it begins to be so.
func (d *daemon) outlook(ctx context.Context, ref string) (ca.Outlook, error) {
	k := d.now()
	out, err := k.outlook(ctx, ref)
	if !d.c.env.Registry.Local(ref, k.c.options()) || ctx.Err() != nil {
		return out, err
	}
	if d.loses(ref, err) {
		d.told.problem(d.c.env.Now(), "authority", err)
	}
	return out, err
}

// loses tells whether that of an authority is news, and bad: nil is that it can be read.
func (d *daemon) loses(ref string, err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.lost[ref]
	d.lost[ref] = text
	return text != "" && text != was
}
