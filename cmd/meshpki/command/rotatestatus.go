package command

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

func rotateStatusCommand() *command {
	return &command{
		name:    "status",
		summary: "tell how far the rotation of the root is",
		about: "Looks at every place under care, at what was recorded as handed out, and at the ledger, and tells what still needs " +
			"the old root and what has to happen next. Nothing is changed.",
		examples: []example{
			{"what still needs the old root", "meshpki ca rotate root status"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage),
		flags: common(inCluster()...),
		run: func(ctx context.Context, c *call) error {
			if _, err := c.arguments(0, 0, ""); err != nil {
				return err
			}
			d, err := c.open()
			if err != nil {
				return err
			}
			return c.sayRotation(ctx, d, "")
		},
	}
}

func rotateAdvanceCommand() *command {
	return &command{
		name:    "advance",
		summary: "begin the next phase, if everything has come along",
		about: "From overlap to switch, once every place under care and every recorded export has the bundle of both roots. From " +
			"switch to drop, once every place serves the new chain, and every certificate that was signed before and is kept " +
			"elsewhere has ended or is revoked. From drop to the end, once every place and export has the new bundle. If that does " +
			"not hold, nothing is changed and the exit code is 3.\n\n" +
			"--seen NAME says that you have seen to an export yourself; it counts for this phase.",
		examples: []example{
			{"the next phase", "meshpki ca rotate root advance --dir mesh"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: common(inCluster(many("seen", "the export of that `NAME` has been seen to; may be repeated"))...),
		run:   runRotateAdvance,
	}
}

func runRotateAdvance(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	if err := c.see(ctx, d); err != nil {
		return err
	}
	p, err := c.proof(ctx, d)
	switch {
	case err != nil:
		return err
	case p.rotation == nil:
		return withHint(file.ErrNoRotation, "meshpki ca rotate root start%s begins", c.dirFlag())
	case !p.doc.Ready:
		p.doc.Did = "refused"
		if err := c.say(p.doc); err != nil {
			return err
		}
		return errNo
	}
	if err := d.Advance(ctx, p.rotation.Phase); err != nil {
		return err
	}
	if p.rotation.Next() == "" {
		return c.say(ui.Rotation{Did: "finished", Phase: "none", Old: p.rotation.Old, New: p.rotation.New, Dir: c.dir(), Now: c.env.Now()})
	}
	return c.sayRotation(ctx, d, "advanced")
}

// see takes note of exports that somebody has seen to.
func (c *call) see(ctx context.Context, d *file.Directory) error {
	names := c.values("seen")
	if len(names) == 0 {
		return nil
	}
	exports, err := d.Exports()
	if err != nil {
		return err
	}
	for _, n := range names {
		if !slices.ContainsFunc(exports, func(e file.Export) bool { return e.Name == n }) {
			return usagef("--seen: nothing is recorded as handed to %q", n).withHint("meshpki ca rotate root status%s lists what is", c.dirFlag())
		}
	}
	return d.See(ctx, names)
}

// sayRotation tells how far the rotation is, after something was done.
func (c *call) sayRotation(ctx context.Context, d *file.Directory, did string) error {
	p, err := c.proof(ctx, d)
	if err != nil {
		return err
	}
	p.doc.Did = did
	return c.say(p.doc)
}

// proof is what was found about a rotation.
type proof struct {
	rotation *file.Rotation // nil where none is in hand
	doc      ui.Rotation
	inUse    map[string]bool // serial numbers of what the services use
	targets  map[string]bool // the services, by name
}

// proof looks whether everything has come along with the phase that there is.
func (c *call) proof(ctx context.Context, d *file.Directory) (*proof, error) {
	r, err := d.Rotation()
	p := &proof{rotation: r, inUse: map[string]bool{}, targets: map[string]bool{}, doc: ui.Rotation{Phase: "none", Dir: c.dir(), Now: c.env.Now()}}
	if err != nil || r == nil {
		return p, err
	}
	p.doc.Phase, p.doc.Old, p.doc.New, p.doc.Since = string(r.Phase), r.Old, r.New, r.Since
	if err := p.places(ctx, c); err != nil {
		return nil, err
	}
	if err := p.exports(d); err != nil {
		return nil, err
	}
	if err := p.leaves(ctx, d); err != nil {
		return nil, err
	}
	p.doc.Ready = len(p.doc.Places) == 0 && !slices.ContainsFunc(p.doc.Exports, func(e ui.RotationExport) bool { return !e.Seen }) &&
		(r.Phase != file.PhaseSwitch || len(p.doc.Leaves) == 0)
	if n := len(p.doc.Leaves); n > 0 && r.Phase == file.PhaseSwitch {
		p.doc.PossibleAt = p.doc.Leaves[n-1].NotAfter
	}
	return p, nil
}

// places finds the services that have not come along, by a pass that does nothing.
func (p *proof) places(ctx context.Context, c *call) error {
	k, err := c.underCare()
	if err != nil {
		return err
	}
	r := k.renewer()
	last, err := lastPass(ctx, r.Memory)
	if err != nil {
		return err
	}
	err = k.pass(ctx, r, last, renew.Options{DryRun: true, Each: func(res renew.Result) {
		if res.Target != nil && !isLocal(res.Target.Backend) {
			return // it has roots of its own
		}
		p.doc.Services++
		if res.Leaf != nil {
			p.inUse[ca.FormatSerial(res.Leaf.SerialNumber)] = true
			p.targets[res.Name] = true
		}
		if why := res.Behind(); why != "" {
			p.doc.Places = append(p.doc.Places, ui.RotationPlace{Name: res.Name, Reason: why})
		}
	}})
	slices.SortFunc(p.doc.Places, func(a, b ui.RotationPlace) int { return cmp.Compare(a.Name, b.Name) })
	return err
}

// isLocal tells whether a backend is an authority of the directory.
func isLocal(ref string) bool {
	scheme, _, _ := strings.Cut(ref, ":")
	return ref == "" || scheme == "local"
}

// exports finds what was handed out and is something else by now.
func (p *proof) exports(d *file.Directory) error {
	all, err := d.Exports()
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.Stale {
			p.doc.Exports = append(p.doc.Exports, ui.RotationExport{Name: e.Name, Authority: e.Authority, At: e.At, Seen: slices.Contains(p.rotation.Seen, e.Name)})
		}
	}
	return nil
}

// leaves finds the certificates that may be kept where the new chain does not come.
func (p *proof) leaves(ctx context.Context, d *file.Directory) error {
	replaced, switched := p.rotation.Began[file.PhaseSwitch]
	if p.rotation.Phase == file.PhaseDrop {
		return nil
	}
	if !switched {
		replaced = p.doc.Now
	}
	left, err := renew.Outlasting(func(yield func(renew.Outstanding, error) bool) {
		for l, err := range d.Leaves(ctx, nil) {
			o := renew.Outstanding{Serial: l.Serial, Name: l.Service + "." + l.Namespace, Signed: l.At, NotAfter: l.NotAfter, Good: l.Good}
			if !yield(o, err) {
				return
			}
		}
	}, replaced, p.inUse, p.targets)
	for _, l := range left {
		service, namespace, _ := strings.Cut(l.Name, ".")
		p.doc.Leaves = append(p.doc.Leaves, ui.RotationLeaf{Serial: l.Serial, Service: service, Namespace: namespace, NotAfter: l.NotAfter})
	}
	return err
}

// retiring says which authorities have been replaced, and until when they are needed.
func (c *call) retiring(ctx context.Context, d *file.Directory, docs []ui.Authority, all []file.Authority) error {
	successors, err := d.Successors()
	if err != nil {
		return err
	}
	var old []file.Authority
	for _, a := range all {
		if successors[a.Name] != "" {
			old = append(old, a)
		}
	}
	last := map[string]time.Time{}
	if len(old) > 0 {
		ends, err := d.LastLeaf(ctx, old...)
		if err != nil {
			return err
		}
		maps.Copy(last, ends)
	}
	for i, a := range all {
		switch next := successors[a.Name]; {
		case a.Stage != "":
			docs[i].Rotation = "root-" + a.Stage
		case next != "":
			docs[i].Successor, docs[i].Rotation = next, "retired"
			if end, alive := last[a.Name]; alive {
				docs[i].Rotation, docs[i].LastLeaf = "retiring", end
			}
			if docs[i].Rotation == "retired" && (a.KeyPath != "" || a.KeyURI != "") {
				docs[i].Rotation = "spent"
				docs[i].Todo = fmt.Sprintf("meshpki ca rotate intermediate --retire %s%s", a.Name, c.dirFlag())
			}
		}
	}
	return nil
}
