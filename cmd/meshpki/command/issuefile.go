package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
)

// onlyOne are the flags of issue that mean one service, and so do not go with --file.
var onlyOne = []string{"service", "namespace", "dns", "ip", "uri", "email", "spiffe-id", "identity", "datacenter", "short-names",
	"no-default-dns", "common-name", "subject", "no-subject", "profile", "validity", "not-after", "key-type", "reuse-key", "csr", "layout", "swap", "if-due"}

// issueFile issues for every service of a manifest that is new, changed or due. One
// that fails keeps no other from its turn.
func (c *call) issueFile(ctx context.Context) error {
	for _, flag := range onlyOne {
		if c.IsSet(flag) {
			return usagef("--%s does not go with --file: the manifest says it", flag)
		}
	}
	m, err := c.orders()
	if err != nil {
		return err
	}
	d, err := c.openToIssue(ctx, c.signer(m), m)
	if err != nil {
		return err
	}
	defer c.frugal()()
	c.settle()
	k := &care{c: c, dir: d, m: m, listed: make(map[string]int, len(m.Services))}
	// The whole file is understood before anything is signed.
	for i := range m.Services {
		if _, err := c.manifestJob(d, m, i, false); err != nil {
			return err
		}
		k.listed[m.Services[i].Name+"."+m.NamespaceOf(&m.Services[i])] = i // as results name them
	}
	b, err := newBulk(k)
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		err = b.preview(ctx)
	} else {
		err = b.pass(ctx)
	}
	return b.end(err)
}

// settled is what flags say, read once.
type settled struct {
	options    backends.Options
	state      string
	stateErr   error
	backend    string
	force, dry bool
}

// settle reads the flags that are asked for again with each service: reading them takes
// longer than its key.
func (c *call) settle() { c.settled.Store(c.flags()) }

// flags gives what was settled, or the same as the flags say it now.
func (c *call) flags() *settled {
	if s := c.settled.Load(); s != nil {
		return s
	}
	s := &settled{options: c.options(), backend: c.String("backend"), force: c.Bool("force"), dry: c.Bool("dry-run")}
	s.state, s.stateErr = c.statePlace()
	return s
}

// signer is who signs for a manifest, as far as it matters for making a directory: where
// each of its services has somebody elsewhere, one of them.
func (c *call) signer(m *config.Manifest) string {
	all := orElse(c.String("backend"), backendOf(m))
	o := c.options()
	for i := range m.Services {
		ref := orElse(m.Services[i].Backend, all)
		if c.IsSet("backend") || ref == "" || c.env.Registry.Local(resolveBackend(m, ref), o) {
			return all
		}
		if i == len(m.Services)-1 {
			return ref
		}
	}
	return all
}

// progress shows on a terminal how far long work is, on one line that is written
// over; elsewhere nothing.
func (c *call) progress(done, total int, what string) {
	if c.env.StderrTTY && total > 1 {
		fmt.Fprint(c.env.Stderr, ui.Progress(done, total, what))
	}
}

// manifestJob turns a service of a manifest into a job. One that was understood before
// is not held against the rules again.
func (c *call) manifestJob(d *file.Directory, m *config.Manifest, i int, understood bool) (*job, error) {
	s, flags := &m.Services[i], c.flags()
	wrong := func(field string, err error) error {
		if m.Certificates {
			return m.Wrong(s.Place, strings.TrimSuffix("spec."+certificateKeys[field], "."), err.Error())
		}
		return m.Wrong(s.Place, strings.TrimSuffix(fmt.Sprintf("services[%d].%s", i, field), "."), err.Error())
	}
	j := &job{c: c, dir: d, understood: understood, force: flags.force, ifDue: true, dry: flags.dry, at: fmt.Sprintf("%s:%d", m.File, s.Line), list: m, index: i}
	if !m.Certificates {
		j.from = issue.FromManifest
	}
	r := issue.Record{
		Service: s.Name, Namespace: m.NamespaceOf(s), Kind: issue.Kind(s.Identity), SPIFFEID: s.SPIFFEID,
		Datacenter: s.Datacenter, TrustDomain: s.Trust,
		DNS: s.DNS, IP: s.IP, Email: s.Email, URI: s.URI, ShortNames: s.ShortNames, NoDNS: s.NoDNS,
		CommonName: s.CommonName, Subject: s.Subject, NoSubject: s.NoSubject, ReuseKey: s.ReuseKey,
		Profile: orElse(s.Profile, orElse(m.Defaults.Profile, "workload")),
	}
	var err error
	if j.profile, err = m.Profile(r.Profile); err != nil {
		return nil, wrong("profile", err)
	}
	r.ProfileForm = j.profile.Form()
	r.KeyType = orElse(s.KeyType, orElse(m.Defaults.KeyType, string(j.profile.KeyType())))
	settle(&r, d, m)
	life := s.Validity
	if own := j.profile.Own(); life == "" && (own == nil || own.Validity == 0) {
		life = m.Defaults.Validity
	}
	if life != "" {
		v, err := config.ParseDuration(life)
		if err != nil {
			return nil, wrong("validity", err)
		}
		r.Validity = v.String()
	}
	if at := orElse(s.RenewAt, m.Defaults.RenewAt); at != "" {
		if r.RenewAt, err = config.ParsePercent(at); err != nil {
			return nil, wrong("renewAt", err)
		}
	}
	r.Backend = orElse(flags.backend, orElse(s.Backend, backendOf(m)))
	j.backend = resolveBackend(m, r.Backend)
	if !understood && !c.env.Registry.Knows(j.backend, flags.options) {
		return nil, wrong("backend", fmt.Errorf("%q is no backend of this version", r.Backend))
	}
	if !understood {
		if _, err := r.Wish(); err != nil { // before its names become those of a place
			return nil, wrong("", err)
		}
	}
	j.record = r
	if err := j.manifestPlaces(m, s); err != nil {
		if is[*keystoreError](err) {
			return j, fmt.Errorf("%s: %w", j.label(), err)
		}
		return nil, wrong("outputs", err)
	}
	if understood {
		return j, nil
	}
	if _, _, err := j.record.Order(j.profile, nil, c.env.Now(), j.notAfter); err != nil {
		return nil, wrong("", err)
	}
	return j, nil
}

// manifestPlaces settles where the files of a service go: its outputs, else its own place.
func (j *job) manifestPlaces(m *config.Manifest, s *config.Service) error {
	if len(s.Outputs) == 0 {
		layouts := m.Defaults.Layout
		if len(s.Layouts) > 0 {
			layouts = s.Layouts
		}
		return j.places(nil, layouts, "", m.KeystoreOf(nil))
	}
	for i := range s.Outputs {
		o := &s.Outputs[i]
		user, group, _ := strings.Cut(o.Owner, ":")
		out := issue.RecordOutput{To: o.To, Layouts: m.LayoutsOf(o), Owner: user, Group: orElse(o.Group, group), Mode: o.Mode, Swap: o.Swap, Keystore: m.KeystoreOf(o),
			Labels: o.Labels, Annotations: o.Annotations}
		j.record.Outputs = append(j.record.Outputs, out)
	}
	return j.open(j.dir.ServicePath(j.record.Namespace, j.record.Service))
}

// resolveBackend turns the name of an entry under backends that is an authority of
// the directory into its reference; those elsewhere are known by their names.
func resolveBackend(m *config.Manifest, ref string) string {
	if entry, ok := m.Backends[ref]; ok && entry.Local != nil {
		return "local:" + entry.Local.Intermediate
	}
	return ref
}
