package command

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
)

func backendCommand() *command {
	return &command{
		name:    "backend",
		summary: "check an authority that signs elsewhere",
		about:   "What concerns the authorities that are not in the state directory.",
		examples: []example{
			{"the role and the policy that Vault would need", "meshpki backend check vault:pki/mesh --suggest"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		sub:   []*command{backendCheckCommand()},
	}
}

func backendCheckCommand() *command {
	return &command{
		name:    "check",
		summary: "try every assumption about a backend before it matters",
		args:    "REF",
		about: "Tries the way to a backend, the way into it, what it permits there, and what its settings would do to each " +
			"certificate that the manifest orders from it; each with what would mend it. Nothing is signed. Where the manifest " +
			"orders nothing, a workload named example stands for what will be. --suggest prints the settings that would do, " +
			"and no more than them, for an administrator there; it asks nothing.",
		examples: []example{
			{"the authority of the directory", "meshpki backend check local"},
			{"what an administrator of Vault has to set", "meshpki backend check vault:pki/mesh --suggest"},
			{"the rights that a signer of a cluster asks for", "meshpki backend check kubernetes:example.com/mesh --suggest"},
		},
		exits: []exit{
			{codeDone, "all of it holds; there may be warnings"},
			{codeFailed, "failed: something went wrong"},
			{codeUsage, "the reference or the manifest is wrong; nothing was attempted"},
			{codeNo, "something does not hold; each is named, with its remedy"},
		},
		flags: common(inCluster(toggle("suggest", "print the settings there that would do"))...),
		run:   runBackendCheck,
	}
}

func runBackendCheck(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "a backend: vault:pki/mesh, or the name of an entry of the manifest")
	if err != nil {
		return err
	}
	ref := args[0]
	m, err := c.manifest()
	if err != nil {
		return err
	}
	if !c.env.Registry.Knows(ref, c.options()) {
		_, err := c.env.Registry.Authority(ctx, ref, c.options())
		return err
	}
	wants, err := c.wants(m, ref)
	if err != nil {
		return err
	}
	if c.Bool("suggest") {
		found, ok, err := c.env.Registry.Suggest(ref, c.options(), wants)
		if err != nil {
			return err
		}
		if !ok {
			return usagef("there is nothing to set at %q that could be suggested", ref)
		}
		doc := ui.BackendSuggested{}
		for _, s := range found {
			doc.List = append(doc.List, ui.Suggestion{Form: s.Form, Text: s.Text})
		}
		return c.say(doc)
	}
	checks, ok, err := c.env.Registry.Check(ctx, ref, c.options(), wants)
	if err == nil && !ok {
		checks, err = c.opened(ctx, ref)
	}
	if err != nil {
		return err
	}
	doc := ui.BackendChecked{Ref: ref, List: []ui.BackendCheck{}, Services: len(wants)}
	for _, k := range checks {
		doc.List = append(doc.List, ui.BackendCheck{Name: k.Name, State: string(k.State), Says: k.Says, Remedy: k.Remedy})
	}
	if err := c.say(doc); err != nil {
		return err
	}
	if slices.ContainsFunc(checks, func(k backends.Check) bool { return k.State == backends.StateFailed }) {
		return errNo
	}
	return nil
}

// opened is the check of a backend that has none of its own: it opens, and has roots.
func (c *call) opened(ctx context.Context, ref string) ([]backends.Check, error) {
	authority, err := c.env.Registry.Authority(ctx, ref, c.options())
	if err != nil {
		return nil, err
	}
	roots, err := authority.Roots(ctx)
	if err != nil {
		return []backends.Check{{Name: "open", State: backends.StateFailed, Says: plain(err), Remedy: hintFor(err)}}, nil
	}
	return []backends.Check{{Name: "open", State: backends.StateOK, Says: "it opens, and has " + ui.Count(len(roots), "root")}}, nil
}

// wants is what the manifest orders from a backend; a workload where it orders nothing.
func (c *call) wants(m *config.Manifest, ref string) ([]backends.Want, error) {
	d, err := c.openIfThere()
	if err != nil || d == nil {
		d = &file.Directory{} // what is wanted can be told before there is one
	}
	var wants []backends.Want
	if m != nil {
		for i := range m.Services {
			j, err := c.manifestJob(d, m, i, false)
			if err != nil {
				return nil, err
			}
			if j.record.Backend != ref && j.backend != ref {
				continue
			}
			w, err := wantOf(j.record, j.profile, c.env.Now())
			if err != nil {
				return nil, err
			}
			wants = append(wants, w)
		}
	}
	if len(wants) > 0 {
		return wants, nil
	}
	r := issue.Record{Service: "example", Profile: "workload"}
	settle(&r, d, m)
	p, err := ca.ProfileByName("")
	if err != nil {
		return nil, err
	}
	w, err := wantOf(r, p, c.env.Now())
	return []backends.Want{w}, err
}

// wantOf is an order as a backend is told of it beforehand.
func wantOf(r issue.Record, p ca.Profile, now time.Time) (backends.Want, error) {
	order, _, err := r.Order(p, nil, now, time.Time{})
	if err != nil {
		return backends.Want{}, fmt.Errorf("%s.%s: %w", r.Service, r.Namespace, err)
	}
	return backends.Want{Name: r.Service + "." + r.Namespace, Identity: order.Identity, Profile: order.Profile,
		KeyType: order.KeyType, Validity: order.Validity.NotAfter.Sub(now)}, nil
}
