package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/renew"
)

// care is everything under care: what the manifest lists, and what was issued
// without it.
type care struct {
	c   *call
	dir *file.Directory
	m   *config.Manifest // nil where there is none
	// listed is which services the manifest names, as namespace.service.
	listed map[string]int
	// names, unless nil, are the only ones that are wanted.
	names map[string]bool
	reuse bool
}

// underCare finds what is under care. Without a state directory there is nothing to
// be looked after, and that is an error: never "nothing to do".
func (c *call) underCare() (*care, error) {
	d, err := c.openForCare()
	if err != nil {
		return nil, err
	}
	if _, err := d.Rotation(); err != nil {
		return nil, err // what is to be trusted is not known then
	}
	m, err := c.manifest()
	if err != nil {
		return nil, err
	}
	c.settle()
	k := &care{c: c, dir: d, m: m, listed: map[string]int{}}
	if m != nil {
		// What is under care is done unattended, hooks and all.
		if err := trusted(m); err != nil {
			return nil, err
		}
		for i := range m.Services {
			k.listed[m.NamespaceOf(&m.Services[i])+"."+m.Services[i].Name] = i
		}
	}
	return k, nil
}

// trusted refuses a manifest that somebody else may change: what it says is done in
// this user's name, and with the CA's key.
func trusted(m *config.Manifest) error {
	if err := durable.Trusted(m.File, durable.None); err != nil {
		return withHint(fmt.Errorf("the manifest: %w", err), "chown root and chmod go-w what is named, or keep the manifest elsewhere")
	}
	return nil
}

// openForCare opens the directory. Where what is to be remembered is kept in a cluster,
// the directory goes with each pod: it is made where there is none.
func (c *call) openForCare() (*file.Directory, error) {
	place, err := c.statePlace()
	if err != nil {
		return nil, err
	}
	if place == "" {
		return c.openToSign()
	}
	m, err := c.manifest()
	if err != nil {
		return nil, err
	}
	return c.openToIssue(c.Context.Context, backendOf(m), m)
}

// only keeps to the services that are named, as payment or payment.prod. A name that
// nobody has is a usage error.
func (k *care) only(names []string) error {
	if len(names) == 0 {
		return nil
	}
	known, err := k.known()
	if err != nil {
		return err
	}
	k.names = map[string]bool{}
	for _, n := range names {
		var found []string
		for _, id := range known {
			namespace, service, _ := strings.Cut(id, ".")
			if n == service+"."+namespace || n == service {
				found = append(found, id)
			}
		}
		switch len(found) {
		case 1:
			k.names[found[0]] = true
		case 0:
			labels := make([]string, 0, len(known))
			for _, id := range known {
				_, service, _ := strings.Cut(id, ".")
				labels = append(labels, service, label(id))
			}
			err := usagef("no service %q is under care", n)
			if near := config.Nearest(n, labels); near != "" {
				return err.withHint("did you mean %s?", near)
			}
			return err.withHint("meshpki status lists them")
		default:
			return usagef("%q is a service of several namespaces: %s", n, ui.List(labels(found), 5))
		}
	}
	return nil
}

func labels(ids []string) []string {
	var out []string
	for _, id := range ids {
		out = append(out, label(id))
	}
	return out
}

// label is the name for people of namespace.service.
func label(id string) string {
	namespace, service, _ := strings.Cut(id, ".")
	return service + "." + namespace
}

// known lists everything under care, as namespace.service, in order.
func (k *care) known() ([]string, error) {
	ids := make([]string, 0, len(k.listed))
	for id := range k.listed {
		ids = append(ids, id)
	}
	stores, err := k.dir.Services()
	if err != nil {
		return nil, err
	}
	for _, s := range stores {
		if id := idOf(s); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// idOf is whose own place a store is, as namespace.service.
func idOf(s *file.Store) string {
	path := s.String()
	return filepath.Base(filepath.Dir(path)) + "." + filepath.Base(path)
}

func (k *care) wants(id string) bool { return k.names == nil || k.names[id] }

// candidates gives every service under care, each to be made into a target when its
// turn has come. A manifest that is wrong anywhere ends the pass before anything is done.
func (k *care) candidates() (iter.Seq[renew.Candidate], error) {
	stores, err := k.dir.Services()
	if err != nil {
		return nil, err
	}
	return func(yield func(renew.Candidate) bool) {
		if k.m != nil {
			for i := range k.m.Services {
				s := &k.m.Services[i]
				if !k.wants(k.m.NamespaceOf(s) + "." + s.Name) {
					continue
				}
				if !yield(func(context.Context) (*renew.Target, error) { return k.listedTarget(i) }) {
					return
				}
			}
		}
		for _, s := range stores {
			id := idOf(s)
			if _, listed := k.listed[id]; listed || !k.wants(id) {
				continue
			}
			if !yield(func(ctx context.Context) (*renew.Target, error) { return k.unlistedTarget(ctx, s) }) {
				return
			}
		}
	}, nil
}

// listedTarget is a service of the manifest as a target.
func (k *care) listedTarget(i int) (*renew.Target, error) {
	j, err := k.c.manifestJob(k.dir, k.m, i, false)
	if is[*keystoreError](err) {
		return &renew.Target{Name: j.label(), Record: j.record, Listed: true, From: issue.FromManifest}, err
	}
	if err != nil {
		return nil, errors.Join(renew.ErrAbort, err)
	}
	t := j.target(k.reuse)
	t.Listed, t.From = true, issue.FromManifest
	t.Policy.Windows = k.m.WindowsOf(&k.m.Services[i])
	if err := serving(t, k.m, i, k.c.restart); err != nil {
		return nil, errors.Join(renew.ErrAbort, err)
	}
	return t, nil
}

// errGone says that a directory among the services' own holds nothing.
var errGone = errors.New("nothing is kept there")

// unlistedTarget is a service that was issued without a manifest: its order is kept
// with its files.
func (k *care) unlistedTarget(ctx context.Context, s *file.Store) (*renew.Target, error) {
	t := &renew.Target{Name: label(idOf(s))}
	known := renew.Ask(ctx, s)
	set, err := known.Set, known.Err
	if errors.Is(err, fs.ErrNotExist) {
		err = errGone
	}
	if err != nil && set.Facts == nil {
		return t, &issue.PlaceError{Place: s.String(), Err: err}
	}
	r := known.Record
	if known.Unread != nil {
		return t, &issue.PlaceError{Place: s.String(), Err: known.Unread}
	}
	if r.Namespace+"."+r.Service != idOf(s) {
		return t, &issue.PlaceError{Place: s.String(), Err: fmt.Errorf("it holds the certificate of %s.%s", r.Service, r.Namespace)}
	}
	j := &job{c: k.c, dir: k.dir, record: r, backend: r.Backend}
	if k.m != nil {
		j.backend = resolveBackend(k.m, r.Backend)
	}
	j.record.Outputs = slices.Clone(r.Outputs)
	own := k.dir.ServicePath(r.Namespace, r.Service)
	for i := range j.record.Outputs {
		if j.record.Outputs[i].To == "" {
			j.record.Outputs[i].To = own
		}
	}
	if j.profile, err = k.m.Profile(r.Profile); err != nil {
		return t, err
	}
	j.record.ProfileForm = j.profile.Form()
	if err := j.open(own); err != nil {
		return t, err
	}
	t = j.target(k.reuse)
	for i := range t.Places {
		if t.Places[i].To == "" {
			t.Places[i].Known = known
		}
	}
	t.From = set.Facts[issue.FactFrom]
	return t, nil
}

// target is what a job orders, as renewal sees it.
func (j *job) target(reuse bool) *renew.Target {
	t := &renew.Target{
		Name: j.label(), Record: j.record, Profile: j.profile, Policy: j.policy(), Backend: j.backend, ReuseKey: reuse || j.record.ReuseKey,
	}
	for i, o := range j.outputs {
		t.Places = append(t.Places, renew.Place{Output: o, Named: j.named[i], To: j.record.Outputs[i].To})
	}
	if j.register != nil {
		t.Places = append(t.Places, renew.Place{Output: issue.Output{Store: j.register}})
	}
	return t
}

// renewer is the one that works on this directory.
func (k *care) renewer() *renew.Renewer {
	r := k.c.renewer(k.dir)
	r.Open, r.Outlook, r.Emit = k.authority, k.outlook, k.c.altered
	return r
}

// altered says of a certificate in what it is not as ordered, where that is tolerated:
// of many that are altered in the same way, of the first.
func (c *call) altered(e renew.Event) {
	if e.Kind != renew.EventAltered {
		return
	}
	c.reading.Lock()
	key := e.Altered.Part + "|" + e.Altered.Cause
	told := c.told[key]
	if c.told == nil {
		c.told = map[string]bool{}
	}
	c.told[key] = true
	c.reading.Unlock()
	if !told {
		c.sayAltered(e.Target, e.Altered)
	}
}

// sayAltered says in what a certificate is not as ordered, and what mends that.
func (c *call) sayAltered(name string, d *issue.Difference) {
	mend := ""
	if d.Remedy != "" {
		mend = "; mended by: " + d.Remedy
	}
	c.notice("warning: %s: not as ordered, which is tolerated: %s%s", name, ui.Safe(d.String()), ui.Safe(mend))
}

// renewer works on a directory; who signs is for the caller to say.
func (c *call) renewer(dir *file.Directory) *renew.Renewer {
	return &renew.Renewer{
		Revoked: dir.Ledger().Revoked,
		Memory:  c.memory(dir),
		Lock: func(ctx context.Context, t *renew.Target) (func() error, error) {
			lock, err := dir.LockService(ctx, t.Record.Namespace, t.Record.Service)
			if err != nil {
				return nil, err
			}
			return lock.Release, nil
		},
		Now:     c.env.Now,
		Ledger:  dir.Ledger(),
		Written: dir.Written(),
		Lookup: func(name string) (string, bool) {
			v := c.env.Getenv(name)
			return v, v != ""
		},
		Asking:   make(chan struct{}, workersElsewhere),
		Workers:  cmp.Or(c.env.Workers, c.workers()),
		Crowd:    c.crowd(),
		Waiting:  c.waiting(),
		Together: durable.Together,
	}
}

// authority opens the authority of a reference, ready to sign.
func (k *care) authority(ctx context.Context, ref string) (ca.Authority, error) {
	return k.c.authority(ctx, ref)
}

// outlook tells what can be expected of it.
func (k *care) outlook(ctx context.Context, ref string) (ca.Outlook, error) {
	out, ok, err := k.c.env.Registry.Outlook(ctx, ref, k.c.options())
	if ok {
		k.c.noteLost(err)
		return out, err
	}
	authority, err := k.authority(ctx, ref)
	if err != nil {
		return ca.Outlook{}, err
	}
	roots, err := authority.Roots(ctx)
	return ca.Outlook{Roots: roots}, err
}

// How many targets are worked at once: most of the time is spent waiting for the
// disk, or, longer, for an authority elsewhere, which keeps its own pace.
const (
	workersHere      = 16
	workersElsewhere = 64

	// In a crowd each has so many files open at the most.
	workersTogether = 512
	filesPerWorker  = 12

	// In a cluster they are together on one connection to the API server, which has that
	// many requests of one at once, and lets each wait a little for the next of all others.
	workersCluster = 64
	// A pod has little memory, and what waits there can be asked for once more.
	waitingCluster = 2500
)

// crowd is how many targets are worked at once where there are many: they wait for
// the disk together. No more of them are with an authority elsewhere than otherwise.
func (c *call) crowd() int {
	if c.env.Workers != 0 {
		return 0
	}
	if c.keptInCluster() {
		return workersCluster
	}
	return min(workersTogether, openFiles()/filesPerWorker)
}

// waiting is how many targets that are due wait in memory; zero is as many as renewal
// thinks fit.
func (c *call) waiting() int {
	if c.keptInCluster() {
		return waitingCluster
	}
	return 0
}

// keptInCluster tells whether the manifest has places in a cluster.
func (c *call) keptInCluster() bool {
	m, err := c.manifest()
	return err == nil && m != nil && slices.ContainsFunc(m.Services, func(s config.Service) bool {
		return slices.ContainsFunc(s.Outputs, func(o config.Output) bool { return strings.HasPrefix(o.To, "k8s://") })
	})
}

// workers is how many targets are worked at once in this run.
func (c *call) workers() int {
	m, err := c.manifest()
	if err != nil || m == nil {
		return workersHere
	}
	o := c.options()
	refs := []string{backendOf(m), c.optional("backend")}
	for name := range o.Entries {
		refs = append(refs, name)
	}
	for _, ref := range refs {
		if !c.env.Registry.Local(ref, o) {
			return workersElsewhere
		}
	}
	return workersHere
}
