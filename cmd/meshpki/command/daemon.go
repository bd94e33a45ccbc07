package command

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// notInDaemon are the flags of renew that make no sense for a daemon, and why.
var notInDaemon = map[string]string{
	"dry-run":  "a daemon that does nothing is none",
	"force":    "it would renew without end",
	"rollback": "it would be renewed again at once",
	"jitter":   "a daemon spreads its work by itself",
	"json":     "--log-format json has its events as JSON",
	"format":   "--log-format json has its events as JSON",
}

// daemon keeps everything under care renewed until it is stopped.
type daemon struct {
	c       *call // as it was started
	hangups <-chan os.Signal
	told    *journal
	service *supervisor

	mu       sync.Mutex
	loop     *renew.Loop // of one of several: in the present term
	leading  bool
	care     *care // by the manifest that was read last and could be
	manifest bool  // the last reading went well
	signers  map[string]ca.Authority
	limits   renew.Limits // for as long as it runs
	secrets  map[string][]byte
	lost     map[string]string // why an authority here cannot be read, by its reference
	renewals int
	failures int
}

// checkDaemon refuses what does not go with a daemon, or without one.
func (c *call) checkDaemon(names []string) error {
	if c.IsSet("lease") && !c.Bool("leader-elect") {
		return usagef("--lease goes with --leader-elect")
	}
	if c.IsSet("metrics-file") && (len(names) > 0 || c.IsSet("rollback")) {
		return usagef("--metrics-file is for a pass over everything under care, and not over some of it")
	}
	if !c.Bool("daemon") {
		for _, flag := range []string{"metrics", "log-format", "leader-elect"} {
			if c.IsSet(flag) {
				err := usagef("--%s is for --daemon", flag)
				if flag == "metrics" {
					return err.withHint("--metrics-file F writes the metrics of a single pass")
				}
				return err
			}
		}
		return nil
	}
	if len(names) > 0 {
		return usagef("--daemon looks after everything under care, and takes no names: %q", names[0])
	}
	for _, flag := range c.given {
		if why, ok := notInDaemon[flag]; ok && (c.Bool(flag) || c.String(flag) != "") {
			return usagef("--%s does not go with --daemon: %s", flag, why)
		}
	}
	if c.IsSet("metrics") && c.IsSet("metrics-file") {
		return usagef("--metrics and --metrics-file say the same twice: one is enough")
	}
	return oneOf("log-format", c.String("log-format"), []string{"text", "json"})
}

// daemon runs until ctx ends: that is how it is stopped, and no failure.
func (k *care) daemon(ctx context.Context) error {
	d := &daemon{c: k.c, care: k, manifest: true, signers: map[string]ca.Authority{}, secrets: map[string][]byte{}, lost: map[string]string{},
		told: newJournal(k.c.env.Stderr, k.c.String("log-format")), service: newSupervisor(k.c.env.Getenv)}
	if err := k.check(); err != nil {
		return err
	}
	if k.c.env.Hangups != nil {
		hangups, end := k.c.env.Hangups()
		defer end()
		d.hangups = hangups
	}
	d.loop = d.newLoop()
	if addr := k.c.String("metrics"); addr != "" {
		end, err := d.serve(addr)
		if err != nil {
			return err
		}
		defer end()
	}
	if k.c.leads != nil {
		return d.elect(ctx)
	}
	return d.loop.Run(ctx)
}

// newLoop is a loop by the manifest in use, which has done nothing yet.
func (d *daemon) newLoop() *renew.Loop {
	return &renew.Loop{Renewer: d.renewer(d.care), Candidates: d.candidates, Listed: d.listed, World: d.world, Reload: d.reload,
		Beat: d.service.beat, Saved: d.saved, Tick: d.service.tick(), Reloads: d.hangups}
}

// running is the present loop.
func (d *daemon) running() *renew.Loop {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loop
}

// check understands the whole manifest, before anything is done by it.
func (k *care) check() error {
	for i := range k.listed {
		if _, err := k.listedTarget(k.listed[i]); err != nil {
			return err
		}
	}
	return nil
}

// now is what is under care by the manifest in use.
func (d *daemon) now() *care {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.care
}

func (d *daemon) listed() int { return len(d.now().listed) }

// candidates gives everything under care, or what has these names. A look at everything
// begins with it, and sees to what is published, too.
func (d *daemon) candidates(ctx context.Context, names map[string]bool) (iter.Seq[renew.Candidate], error) {
	k := *d.now()
	if names == nil {
		k.publications(ctx, false, d.published)
	} else {
		k.names = map[string]bool{}
		for name := range names {
			service, namespace, _ := strings.Cut(name, ".")
			k.names[namespace+"."+service] = true
		}
	}
	return k.candidates()
}

// published is told of each publication that was changed, or could not be.
func (d *daemon) published(ref string, err error) {
	if err != nil {
		d.told.problem(d.c.env.Now(), "publish", err)
		return
	}
	d.told.note(d.c.env.Now(), "published", ref)
}

// renewer is the one of a single pass, with what a daemon has besides.
func (d *daemon) renewer(k *care) *renew.Renewer {
	r := k.renewer()
	r.Open, r.Outlook, r.Emit, r.Backoff, r.Allow = d.authority, d.outlook, d.event, renew.Backoff, d.limits.Allow
	lookup := r.Lookup
	r.Lookup = func(name string) (string, bool) {
		if isSupervisors(name) { // a hook speaks to the service manager for itself, or not at all
			return "", false
		}
		return lookup(name)
	}
	return r
}

// authority opens an authority once, until something about it may have changed: keys
// with passphrases take their time.
func (d *daemon) authority(ctx context.Context, ref string) (ca.Authority, error) {
	if k := d.now(); !d.c.env.Registry.Local(ref, k.c.options()) {
		return k.authority(ctx, ref)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if a, ok := d.signers[ref]; ok {
		return a, nil
	}
	options := d.care.c.options()
	options.Passphrase = d.passphrase(options)
	a, err := d.c.env.Registry.Authority(ctx, ref, options)
	if err == nil {
		d.signers[ref] = a
	}
	return a, err
}

// passphrase asks once where it can be given only once: on a terminal or on standard
// input. A file is read each time, for it may be another.
func (d *daemon) passphrase(o backends.Options) func(string) ([]byte, error) {
	return func(key string) ([]byte, error) {
		if secret, ok := d.secrets[key]; ok {
			return secret, nil
		}
		secret, err := o.Passphrase(key)
		if file := d.c.passphraseFile(); err == nil && (file == "-" || file == "" && d.c.env.StdinTTY) {
			d.secrets[key] = secret
		}
		return secret, err
	}
}

// reload reads the manifest again. One that is wrong anywhere, is gone or has lost
// its services changes nothing: nobody has meant that.
func (d *daemon) reload(context.Context) error {
	d.mu.Lock()
	clear(d.signers)
	d.mu.Unlock()
	was := d.now()
	c := d.c
	k, err := (&call{Context: c.Context, env: c.env, self: c.self, given: c.given, leads: c.leads}).underCare()
	if err == nil {
		k.reuse = was.reuse
		err = k.check()
	}
	switch {
	case err != nil:
		err = fmt.Errorf("the manifest cannot be read, and the one before is kept: %s", plain(err))
	case was.m != nil && k.m == nil:
		err = errors.New("the manifest is gone, and the one before is kept")
	case len(was.listed) > 0 && len(k.listed) == 0:
		err = fmt.Errorf("the manifest has lost its services, and the one before is kept with %s", ui.Count(len(was.listed), "service"))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.manifest = err == nil
	if err == nil {
		k.c.inherit(was.c)
		d.care = k
	}
	return err
}

// world marks what decisions go by besides the services' own files: the manifest, the
// CAs, and what has been revoked.
func (d *daemon) world(ctx context.Context) string {
	k := d.now()
	var b strings.Builder
	path, _ := d.c.manifestPath()
	mark(&b, path)
	mark(&b, k.dir.Path())
	mark(&b, filepath.Join(k.dir.Path(), "directory.json"))
	mark(&b, filepath.Join(k.dir.Path(), "ca"))
	// Of the ledger, which grows by our own work, revocations alone.
	if revoked, err := k.dir.Ledger().Revoked(ctx); err == nil {
		fmt.Fprint(&b, revoked.Len())
	}
	return b.String()
}

// mark writes what changes when a file is written or replaced, or an entry of a directory.
func mark(b *strings.Builder, path string) {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(b, "%v\n", err)
		return
	}
	size := info.Size()
	if info.IsDir() {
		size = 0
	}
	fmt.Fprintf(b, "%d %d %d\n", info.ModTime().UnixNano(), size, identity(info))
}

// saved is told of each report.
func (d *daemon) saved(r renew.Report) {
	d.service.status(statusLine(r, d.running().Next()))
	if name := d.c.String("metrics-file"); name != "" {
		if err := writeMetrics(name, d.metrics()); err != nil {
			d.told.problem(d.c.env.Now(), "metrics", err)
		}
	}
}

// statusLine is what systemctl status shows.
func statusLine(r renew.Report, next time.Time) string {
	line := ui.Count(r.Targets, "service") + " under care"
	if n := r.Bad(); n > 0 {
		line += fmt.Sprintf(", %d failed or pending", n)
	}
	if r.Problem != "" {
		line += "; " + r.Problem
	}
	if !next.IsZero() {
		line += "; next renewal on " + next.UTC().Format("2006-01-02 15:04 UTC")
	}
	return line
}

// event is told of what happens: log, counters and service manager hear of it.
func (d *daemon) event(e renew.Event) {
	d.mu.Lock()
	switch e.Kind {
	case renew.EventRenewed:
		d.renewals++
	case renew.EventFailed:
		d.failures++
	}
	d.mu.Unlock()
	switch e.Kind {
	case renew.EventReady:
		d.service.ready()
	case renew.EventReloading:
		d.service.reloading()
	case renew.EventReloaded:
		d.service.ready()
	case renew.EventStopping:
		d.service.stopping()
	}
	d.told.event(e)
}
