package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

func renewCommand() *command {
	return &command{
		name:    "renew",
		summary: "renew what is due, and deliver what has changed",
		args:    "[NAME…]",
		about: "Goes once over everything under care: the services of the manifest, and those issued without one. " +
			"What is due gets a new key and a new certificate; what only has drifted, or is to trust new roots, gets its files " +
			"laid out again, and no authority is asked. A service that fails keeps no other from its turn.\n\n" +
			"A set of files is replaced whole or not at all, in each place. When the files are new, the hook of the service " +
			"is run and its confirmation awaited; a hook that fails is tried again by each pass, and until then the exit code is 5.\n\n" +
			"With nothing to do it says nothing, so that cron sends no mail. It may be run beside a daemon, " +
			"or beside itself: each service is worked by one at a time.\n\n" +
			"With --daemon it goes on until it is stopped (SIGTERM, SIGINT), and renews each service when it is due, whatever " +
			"the clock does meanwhile. SIGHUP, and a manifest that has changed, have it read the manifest again and try at once what " +
			"failed; a manifest that is wrong changes nothing. It speaks to systemd (Type=notify-reload, WatchdogSec=).",
		examples: []example{
			{"what would be done", "meshpki renew --dry-run"},
			{"one pass, as from cron or a timer", "meshpki renew"},
			{"this one now, due or not", "meshpki renew --force payment.prod"},
		},
		exits: []exit{
			{codeDone, "everything under care is as it should be, and served; or a daemon was stopped"},
			{codeFailed, "the pass could not be made"},
			{codeUsage, "usage or configuration is wrong, or there is no state directory; nothing was attempted"},
			{codePartial, "a service failed, or has its certificate and does not serve it yet; each is named"},
		},
		flags: common(remembering(
			toggle("daemon", "run until stopped, and renew each service when it is due"),
			toggle("leader-elect", "of several daemons one does the work, by a Lease of the cluster; what it remembers is in a Secret"),
			text("lease", "with --leader-elect: the `LEASE`, as namespace/name (default: meshpki in the pod's or the context's namespace)"),
			text("metrics", "of a daemon: serve /metrics and /healthz at this `ADDRESS`; a port alone is on the loopback"),
			text("metrics-file", "write metrics to this `FILE` after each pass, for the node exporter's textfile collector"),
			text("log-format", "the form of what a daemon logs on standard error: `text|json` (default text)"),
			toggle("dry-run", "say what would be done, and do nothing"),
			toggle("force", "renew, due or not"),
			toggle("reuse-key", "certify the keys that are in place instead of new ones"),
			text("rollback", "lay out again what the service `NAME` had before; not what has expired or is revoked"),
			text("jitter", "wait for a part of this `DURATION` first, so that many machines do not come at once"),
			text("key", "the `FILE` or key URI with the CA's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input"),
		)...),
		run: runRenew,
	}
}

func runRenew(ctx context.Context, c *call) error {
	names, err := c.arguments(0, -1, "")
	if err != nil {
		return err
	}
	wait, err := c.duration("jitter")
	if err != nil {
		return err
	}
	if err := c.checkDaemon(names); err != nil {
		return err
	}
	if c.Bool("leader-elect") {
		c.leads = &leadership{}
	}
	k, err := c.underCare()
	if err == nil {
		err = errors.Join(k.checkElection(), k.checkLasting())
	}
	if err != nil {
		return err
	}
	k.reuse = c.Bool("reuse-key")
	if c.IsSet("rollback") {
		if len(names) > 0 {
			return usagef("%s --rollback takes one name, its own", c.self.path())
		}
		return k.rollback(ctx, c.String("rollback"))
	}
	if c.Bool("daemon") {
		return k.daemon(ctx)
	}
	if err := k.only(names); err != nil {
		return err
	}
	if wait > 0 && !c.Bool("dry-run") {
		select {
		case <-time.After(rand.N(wait)): //nolint:gosec // nobody gains by guessing it
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return k.once(ctx)
}

// measure writes the metrics of a pass, where that is wanted. made says whether the
// pass could be.
func (k *care) measure(all []renew.Stands, last *renew.Report, made bool) error {
	name := k.c.String("metrics-file")
	if name == "" || k.c.Bool("dry-run") {
		return nil
	}
	return writeMetrics(name, append(passMetrics(all, last, made), buildInfo(k.c.env)))
}

// In a single pass nearly all memory is garbage at once, and is collected once it is
// six times what is in use; not so beyond a bound.
const (
	passGarbage = 500       // percent
	passMemory  = 240 << 20 // bytes
	// In a cluster it is the API server that is waited for, and a pod has little memory.
	clusterMemory = 56 << 20
)

// spacious trades memory for time until it is undone, unless GOGC says otherwise.
func spacious(getenv func(string) string, bound int64) (undo func()) {
	if getenv("GOGC") != "" {
		return func() {}
	}
	percent := debug.SetGCPercent(passGarbage)
	most := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(most, bound))
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(most)
	}
}

// memory is the bound of what a pass keeps before it tidies up.
func (k *care) memory() int64 {
	if k.c.keptInCluster() {
		return clusterMemory
	}
	return passMemory
}

// once makes a pass and says what came of it.
func (k *care) once(ctx context.Context) error {
	c := k.c
	defer spacious(c.env.Getenv, k.memory())()
	doc := ui.Renewal{Now: c.env.Now(), DryRun: c.Bool("dry-run")}
	report := renew.Report{Began: c.env.Now(), Listed: len(k.listed)}
	r := k.renewer()
	last, err := lastPass(ctx, r.Memory)
	if err != nil {
		return err
	}
	unpublished := 0
	if !doc.DryRun && k.names == nil { // before what is signed under new roots
		unpublished = k.publications(ctx, false, c.sayPublished)
	}
	var all []renew.Stands
	err = k.pass(ctx, r, last, renew.Options{DryRun: doc.DryRun, Force: c.Bool("force"), Each: func(res renew.Result) {
		report.Count(res)
		doc.Add(renewalOf(res))
		if c.IsSet("metrics-file") {
			all = append(all, res.Stands())
		}
	}})
	if err != nil {
		return errors.Join(err, k.measure(nil, last, false))
	}
	slices.SortFunc(doc.List, func(a, b ui.RenewedService) int { return cmp.Compare(a.Label(), b.Label()) })
	report.Ended = c.env.Now()
	// A clock that was put back hides no later pass, unless somebody insists.
	behind := last != nil && report.Ended.Before(last.Ended) && !c.Bool("force")
	if !doc.DryRun && k.names == nil && !behind {
		if err := report.Save(ctx, r.Memory); err != nil {
			return fmt.Errorf("record the pass: %w", err)
		}
	}
	if err := k.measure(all, &report, true); err != nil {
		return err
	}
	if json, err := c.format(); err != nil || json == "json" || doc.Says() {
		if err := errors.Join(err, c.say(doc)); err != nil {
			return err
		}
	}
	// Before anything is due: then it would be late.
	if lost := c.sayLost(report.Bad() > 0); !lost && doc.Says() { // where it says anything: cron sends no mail of this alone
		if err := k.warnUnconstrained(ctx); err != nil {
			return err
		}
	}
	if report.Bad()+unpublished > 0 {
		return errPartial
	}
	return nil
}

// warnUnconstrained says which keys on this machine are worth more to a thief than
// the certificates that it renews.
func (k *care) warnUnconstrained(ctx context.Context) error {
	loose, err := k.dir.Unconstrained(ctx)
	for _, a := range loose {
		k.c.notice("warning: the key of %s is on this machine, and can certify any name. If the machine renews nothing but its own "+
			"certificates, meshpki ca csr NAME --for host asks for an intermediate that can certify no others", a.Name)
	}
	return err
}

// pass is one pass over what is under care. last, which may be nil, is the one
// before: a clock that is behind it is wrong.
func (k *care) pass(ctx context.Context, r *renew.Renewer, last *renew.Report, o renew.Options) error {
	candidates, err := k.candidates()
	if err != nil {
		return err
	}
	if last != nil {
		o.Seen = last.Ended
	}
	return r.Pass(ctx, candidates, o)
}

// lastPass is the last pass that went over everything; nil where none is recorded.
func lastPass(ctx context.Context, m renew.Memory) (*renew.Report, error) {
	report, err := renew.LastReport(ctx, m)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return report, err
}

// renewalOf is what is said of one target.
func renewalOf(res renew.Result) ui.RenewedService {
	s := ui.RenewedService{
		Name: res.Name, State: string(res.Standing), Reason: res.Reason, Check: res.Decision.Check, Alarm: res.Alarm,
		Failures: res.Failures, Since: res.Since, Next: res.Decision.Next, Confirm: res.Confirm,
	}
	if res.Err != nil {
		s.Problem = res.Err.Error()
	}
	if res.Target != nil {
		s.Service, s.Namespace = res.Target.Record.Service, res.Target.Record.Namespace
		for i, p := range res.Target.Places {
			if len(p.Layouts) == 0 {
				continue
			}
			place := ui.RenewedPlace{To: p.Store.String()}
			if i < len(res.Places) {
				place.Problem = res.Places[i]
			}
			s.Places = append(s.Places, place)
		}
	}
	if res.Leaf != nil {
		s.Serial, s.NotAfter = ca.FormatSerial(res.Leaf.SerialNumber), res.Leaf.NotAfter.UTC()
	}
	for _, step := range res.Steps {
		s.Steps = append(s.Steps, ui.RenewedStep{Step: step.Step, Done: step.Done, Tries: step.Tries, Problem: step.Problem, Output: step.Output})
	}
	return s
}
