package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// rollback lays out again what a service had before.
func (k *care) rollback(ctx context.Context, name string) error {
	for _, flag := range []string{"dry-run", "force", "reuse-key", "jitter"} {
		if k.c.IsSet(flag) {
			return usagef("--%s does not go with --rollback", flag)
		}
	}
	if err := k.only([]string{name}); err != nil {
		return err
	}
	candidates, err := k.candidates()
	if err != nil {
		return err
	}
	doc := ui.Renewal{Now: k.c.env.Now()}
	bad := false
	for candidate := range candidates {
		t, err := candidate(ctx)
		if err != nil {
			return err
		}
		res, err := k.renewer().Rollback(ctx, t)
		if err != nil {
			return withHint(fmt.Errorf("%s is not rolled back: %w", t.Name, err), "meshpki renew %s --force makes a new one", t.Name)
		}
		bad = bad || !res.Standing.Good()
		doc.Add(renewalOf(res))
	}
	if err := k.c.say(doc); err != nil {
		return err
	}
	if bad {
		return errPartial
	}
	return nil
}

// purge takes the keys of certificates that have just been revoked out of what their
// services' places keep besides the set in use: of those services or, where a CA is
// among what was revoked, of all.
func (c *call) purge(ctx context.Context, d *file.Directory, services map[string]bool) (int, error) {
	if len(services) == 0 {
		return 0, nil
	}
	k, err := c.underCare()
	if err != nil {
		return 0, err
	}
	k.dir = d
	if !services["."] {
		k.names = services
	}
	candidates, err := k.candidates()
	if err != nil {
		return 0, err
	}
	n, err := k.renewer().Purge(ctx, candidates)
	if errors.Is(err, renew.ErrAbort) {
		err = fmt.Errorf("the manifest cannot be read, so the keys in places that only it names may remain: %w", err)
	}
	return n, err
}
