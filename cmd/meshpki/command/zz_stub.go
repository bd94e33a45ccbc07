package command

import (
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/renew"
)

// serving is made in hooks.go, which takes this file away: it gives a target the
// steps and the confirmation of service i of the manifest.
func (c *call) serving(*renew.Target, *config.Manifest, int) error { return nil }
