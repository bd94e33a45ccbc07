package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

func applyCommand() *command {
	return &command{
		name:    "apply",
		summary: "make everything as the manifest says",
		about: "Does what plan says: creates what the manifest names and is not there, renews what is due, lays out again what " +
			"has drifted, runs hooks and awaits confirmations, as meshpki renew does. Run again, it finishes what was " +
			"interrupted, and with nothing to do it changes nothing.\n\n" +
			"--prune also removes what the manifest names no more: services that it once had, with their keys, and the former " +
			"places of services that have others now and are served there. Only what meshpki has put into a place is taken " +
			"away, keys first; other files stay, and are named. It asks on a terminal; elsewhere it wants --yes. Nothing is " +
			"revoked: copies of a key may be elsewhere, and revoke ends their use.\n\n" +
			"--force takes places in which there is something else: files under the names of the set are kept aside, in " +
			"..replaced, and another service's set as the previous one.",
		examples: []example{
			{"make it so", "meshpki apply"},
			{"with the keys that are in place", "meshpki apply --reuse-key"},
		},
		exits: []exit{
			{codeDone, "everything under care is as the manifest has it, and served"},
			{codeFailed, "it could not be tried"},
			{codeUsage, "usage or configuration is wrong, or there is no state directory; nothing was attempted"},
			{codePartial, "a service failed, or has its certificate and does not serve it yet, or could not be removed; each is named"},
		},
		flags: common(remembering(
			toggle("prune", "remove what the manifest names no more"),
			toggle("yes", "remove without asking"),
			toggle("force", "take places that hold something else, which is kept aside"),
			toggle("reuse-key", "certify the keys that are in place instead of new ones"),
			text("key", "the `FILE` or key URI with the CA's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input"),
		)...),
		run: runApply,
	}
}

func runApply(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	if c.IsSet("yes") && !c.Bool("prune") {
		return usagef("--yes goes with --prune")
	}
	k, err := c.underCare()
	if err == nil {
		err = k.checkLasting()
	}
	if err != nil {
		return err
	}
	k.reuse = c.Bool("reuse-key")
	a := &applying{k: k, doomed: map[string]bool{}}
	if c.Bool("prune") {
		if err := a.mayPrune(ctx); err != nil {
			return err
		}
	}
	return a.run(ctx)
}

// applying is one run of apply.
type applying struct {
	k      *care
	doomed map[string]bool // the services to be removed, by their names for people
	left   []renew.Leftover
	doc    ui.Applied
	failed bool
}

// mayPrune sees what is to be removed, and asks. The list that is gone by afterwards is
// made by the pass itself; more than was agreed to is never removed.
func (a *applying) mayPrune(ctx context.Context) error {
	c := a.k.c
	if a.k.m == nil {
		return usagef("--prune: there is no manifest, and without one everything would be too much").withHint("--config names it")
	}
	p, err := a.k.plan(ctx)
	if err != nil {
		return err
	}
	var lines []string
	for _, s := range p.doc.List {
		if s.Change == "remove" && len(s.Places) == 0 {
			lines = append(lines, ui.Clean(s.Name)+": its journal")
		}
		for _, place := range s.Places {
			if place.Remove {
				lines = append(lines, fmt.Sprintf("%s: %s", ui.Clean(s.Name), ui.Clean(place.To)))
			}
		}
	}
	for _, l := range p.leftovers {
		a.doomed[l.Target.Name] = a.doomed[l.Target.Name] || l.Whole
	}
	switch {
	case len(lines) == 0:
		return nil
	case len(a.k.listed) == 0 && !c.Bool("force"):
		return usagef("--prune: %s names no service at all, and every one that it had would be removed", a.k.m.File).
			withHint("if that is meant: --force")
	case c.Bool("yes"):
		return nil
	case !c.env.StdinTTY:
		return usagef("--prune would remove %s: %s", ui.Count(len(lines), "set"), ui.List(lines, 3)).withHint("--yes removes without asking; meshpki plan lists all")
	}
	c.notice("to be removed:\n%s", strings.Join(lines, "\n"))
	answer, err := c.ask("remove " + ui.Count(len(lines), "set") + "? [yes/no] ")
	if err != nil {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "yes" && a != "y" {
		return errNotAgreed
	}
	return nil
}

// errNotAgreed says that nobody wanted it.
var errNotAgreed = errors.New("the answer was not yes; nothing was changed")

// run makes the pass, and removes what is to be removed.
func (a *applying) run(ctx context.Context) error {
	k, c := a.k, a.k.c
	a.doc.Now, a.doc.Manifest = c.env.Now(), k.m != nil
	report := renew.Report{Began: c.env.Now(), Listed: len(k.listed)}
	r := k.renewer()
	last, err := lastPass(ctx, r.Memory)
	if err != nil {
		return err
	}
	if k.publications(ctx, false, c.sayPublished) > 0 {
		a.failed = true
	}
	err = k.pass(ctx, r, last, renew.Options{
		Replace: func(other string) bool { return c.Bool("force") || a.doomed[other] },
		Wants:   func(t *renew.Target, _ renew.Decision) bool { return !a.removes(t) },
		Each: func(res renew.Result) {
			if !a.removes(res.Target) {
				report.Count(res)
				a.doc.Add(renewalOf(res))
			}
			a.leave(res)
		},
	})
	if err != nil {
		return err
	}
	report.Ended = c.env.Now()
	if last == nil || !report.Ended.Before(last.Ended) {
		if err := report.Save(ctx, r.Memory); err != nil {
			return fmt.Errorf("record the pass: %w", err)
		}
	}
	if err := a.leaveAbandoned(ctx, r.Memory); err != nil {
		return err
	}
	slices.SortFunc(a.left, func(x, y renew.Leftover) int { return cmp.Compare(x.Target.Name, y.Target.Name) })
	for _, l := range a.left {
		a.prune(ctx, r, l)
	}
	if c.Bool("prune") && k.m != nil {
		a.tidy(ctx)
	}
	slices.SortStableFunc(a.doc.List, func(x, y ui.RenewedService) int { return cmp.Compare(x.Label(), y.Label()) })
	if err := c.say(a.doc); err != nil {
		return err
	}
	c.sayLost(report.Bad() > 0)
	if report.Bad() > 0 || a.failed {
		return errPartial
	}
	return nil
}

// removes tells whether a target is to be removed.
func (a *applying) removes(t *renew.Target) bool {
	return t != nil && a.doomed[t.Name] && a.k.dropped(t)
}

// leave notes what a target has left. Its former places are left once all of its
// present ones have what they should, and not before.
func (a *applying) leave(res renew.Result) {
	if !a.k.c.Bool("prune") || res.Target == nil {
		return
	}
	if _, agreed := a.doomed[res.Target.Name]; !agreed {
		return
	}
	settled := slices.Contains([]renew.Standing{renew.StandsFresh, renew.StandsRenewed, renew.StandsAgain}, res.Standing)
	if !settled && !a.removes(res.Target) {
		return
	}
	l, err := a.k.leftover(res)
	switch {
	case err != nil:
		a.failed = true
		a.doc.List = append(a.doc.List, ui.RenewedService{Name: res.Name, State: "failed", Problem: err.Error()})
	case len(l.Stores) > 0 && l.Whole == a.removes(res.Target):
		a.left = append(a.left, l)
	}
}

// tidy takes away what an interrupted removal has left of services' own places:
// nothing of it is under care, and there are no keys in it. What cannot be taken away
// now is by the next one.
func (a *applying) tidy(ctx context.Context) {
	remnants, err := a.k.dir.Remnants()
	if err != nil {
		return
	}
	for _, s := range remnants {
		namespace, service, _ := strings.Cut(idOf(s), ".")
		lock, err := a.k.dir.LockService(ctx, namespace, service)
		if err != nil {
			return
		}
		_, _ = s.Remove(ctx, "")
		_ = lock.Release()
	}
}

// prune empties the places of a leftover, and says what came of it.
func (a *applying) prune(ctx context.Context, r *renew.Renewer, l renew.Leftover) {
	s := ui.RenewedService{Name: l.Target.Name, Service: l.Target.Record.Service, Namespace: l.Target.Record.Namespace,
		State: "removed", Reason: "the manifest names it no more"}
	if !l.Whole {
		s.Reason = "the manifest has other places for it"
	}
	list, err := r.Prune(ctx, l)
	if err != nil {
		s.State, s.Problem = "failed", err.Error()
	}
	for _, left := range list {
		place := ui.RenewedPlace{To: left.Place, Kept: left.Kept}
		switch {
		case left.Err != nil:
			place.Problem, s.State = left.Err.Error(), "failed"
			s.Problem = cmp.Or(s.Problem, left.Place+": "+place.Problem)
		case left.Other != "":
			place.Problem = "it holds the certificate of " + left.Other + " and is left alone"
		case !left.Ours && len(left.Kept) == 0:
			continue // nothing was there any more
		}
		s.Places = append(s.Places, place)
	}
	if len(l.Stores) == 0 {
		s.Reason = onlyJournal
	} else if len(s.Places) == 0 && s.State != "failed" {
		return
	}
	a.failed = a.failed || s.State == "failed"
	a.doc.List = append(a.doc.List, s)
}
