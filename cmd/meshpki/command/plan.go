package command

import (
	"cmp"
	"context"
	"slices"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/renew"
)

func planCommand() *command {
	return &command{
		name:    "plan",
		summary: "show what differs from the manifest, or simulate a period of renewals",
		about: "Holds the manifest against the world and says what apply would do: services to create, to renew or to lay out " +
			"again, and in what they differ; places with files in them that are not the service's, which are never touched " +
			"without a flag; and what is to be removed, for the manifest names it no more: services, and places of services " +
			"that have others now. What was issued without the manifest is kept. It changes nothing.\n\n" +
			"--simulate rehearses a time of renewals by the clock alone, from the lifetimes and the jitter of what is under " +
			"care: passes, certificates, the busiest minute, what expires although every pass succeeds, and for how long " +
			"every pass may fail before something does. With --outage it says which services a failure of that length would " +
			"end, at the worst moment of each. Without --every a daemon is simulated, which is there whenever something is due.",
		examples: []example{
			{"what apply would do", "meshpki plan"},
			{"a year with a pass every 15 minutes, and three days without any", "meshpki plan --simulate 1y --every 15m --outage 3d"},
		},
		exits: []exit{
			{codeDone, "nothing is to be done; of a simulation: nothing would expire"},
			{codeFailed, "it could not be told"},
			{codeUsage, "usage or configuration is wrong, or there is no state directory; nothing was attempted"},
			{codeNo, "something differs; of a simulation: something would expire"},
		},
		flags: common(remembering(
			text("simulate", "rehearse the renewals of that `DURATION`, 10y at most"),
			text("every", "with --simulate: from one pass to the next, a `DURATION` (default: a daemon)"),
			text("outage", "with --simulate: every pass fails for that `DURATION`, once"),
		)...),
		run: runPlan,
	}
}

func runPlan(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	if c.IsSet("simulate") {
		return c.simulate(ctx)
	}
	for _, flag := range []string{"every", "outage"} {
		if c.IsSet(flag) {
			return usagef("--%s goes with --simulate", flag)
		}
	}
	k, err := c.underCare()
	if err != nil {
		return err
	}
	p, err := k.plan(ctx)
	if err != nil {
		return err
	}
	if err := c.say(p.doc); err != nil {
		return err
	}
	c.sayLost(false)
	if p.doc.Differs() {
		return errNo
	}
	return nil
}

// planned is what differs from the manifest.
type planned struct {
	doc       ui.Plan
	leftovers []renew.Leftover
	fine      []ui.PlannedService // counted, and not listed
}

// advise adds what pods will not see.
func (p *planned) advise(blind map[string]string) {
	for i := range p.doc.List {
		if why := blind[p.doc.List[i].Name]; why != "" && p.doc.List[i].Advice == "" {
			p.doc.List[i].Advice = why
		}
	}
	for _, s := range p.fine {
		if s.Advice = blind[s.Name]; s.Advice != "" {
			p.doc.List = append(p.doc.List, s)
			p.doc.Fine--
		}
	}
}

// plan holds the manifest against the world.
func (k *care) plan(ctx context.Context) (*planned, error) {
	r := k.renewer()
	last, err := lastPass(ctx, r.Memory)
	if err != nil {
		return nil, err
	}
	p := &planned{doc: ui.Plan{Flags: k.c.careFlags(), Now: k.c.env.Now()}}
	if k.m != nil {
		p.doc.Manifest = k.m.File
	}
	var failed error
	var targets []*renew.Target
	err = k.pass(ctx, r, last, renew.Options{DryRun: true, Try: true, Each: func(res renew.Result) {
		if res.Target != nil {
			targets = append(targets, res.Target)
		}
		if err := k.compare(ctx, p, res); err != nil && failed == nil {
			failed = err
		}
	}})
	if err != nil || failed != nil {
		return nil, cmp.Or(err, failed)
	}
	k.publications(ctx, true, p.unpublished)
	p.advise(k.blindPods(ctx, targets))
	p.inherit()
	if err := k.planAbandoned(ctx, p, r.Memory); err != nil {
		return nil, err
	}
	slices.SortFunc(p.doc.List, func(a, b ui.PlannedService) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(p.leftovers, func(a, b renew.Leftover) int { return cmp.Compare(a.Target.Name, b.Target.Name) })
	return p, nil
}

// inherit sees to places that are taken over from services to be removed: --prune
// replaces what they hold, and nothing more is needed.
func (p *planned) inherit() {
	for _, l := range p.leftovers {
		for _, s := range p.doc.List {
			for i := range s.Places {
				if place := &s.Places[i]; l.Whole && place.Foreign == renew.HoldsOf(l.Target.Name) {
					place.Problem, place.Foreign = place.Foreign+", which is to be removed", ""
				}
			}
		}
	}
}

// dropped tells whether a manifest had a target, and has it no more.
func (k *care) dropped(t *renew.Target) bool {
	return k.m != nil && t != nil && !t.Listed && t.From == issue.FromManifest
}

// compare takes a target into the plan.
func (k *care) compare(ctx context.Context, p *planned, res renew.Result) error {
	s := ui.PlannedService{Name: res.Name, Check: res.Decision.Check, Reason: res.Reason}
	if t := res.Target; t != nil {
		s.Service, s.Namespace, s.Listed = t.Record.Service, t.Record.Namespace, t.Listed
	}
	if res.Leaf != nil {
		s.NotAfter = res.Leaf.NotAfter.UTC()
	}
	if k.dropped(res.Target) {
		s.Change, s.Reason, s.Check = "remove", "the manifest names it no more", ""
	} else {
		s.Change, s.Problem = changeOf(res)
		s.Places = placesOf(res)
		s.Advice = tearing(res.Target)
		if s.Change == "none" {
			s.Reason = ""
		}
	}
	left, err := k.leftover(res)
	if err != nil {
		return err
	}
	for _, l := range left.Look(ctx) {
		switch {
		case l.Ours:
			s.Places = append(s.Places, ui.PlannedPlace{To: l.Place, Remove: true})
		case l.Err != nil:
			s.Places = append(s.Places, ui.PlannedPlace{To: l.Place, Problem: l.Err.Error(), Remove: left.Whole})
		}
	}
	if len(left.Stores) > 0 {
		p.leftovers = append(p.leftovers, left)
	}
	removes := slices.ContainsFunc(s.Places, func(p ui.PlannedPlace) bool { return p.Remove })
	if s.Change == "none" && s.Listed && s.Advice == "" && !removes {
		p.doc.Fine++
		p.fine = append(p.fine, s)
		return nil
	}
	p.doc.List = append(p.doc.List, s)
	return nil
}

// changeOf is what would be done about a target, and what is wrong with it.
func changeOf(res renew.Result) (change, problem string) {
	if res.Err != nil {
		problem = res.Err.Error()
	}
	switch res.Standing {
	case renew.StandsDue:
		if res.Decision.Check == "missing" {
			return "create", ""
		}
		return "renew", ""
	case renew.StandsDrifted:
		return "deliver", ""
	case renew.StandsPending:
		return "finish", problem
	case renew.StandsFailed:
		return "failed", problem
	case renew.StandsHeld:
		return "held", ""
	case renew.StandsWaiting:
		return "waiting", ""
	}
	return "none", ""
}

// placesOf are the places of a target about which something is to be done.
func placesOf(res renew.Result) []ui.PlannedPlace {
	if res.Target == nil || res.Standing == renew.StandsFresh {
		return nil
	}
	var out []ui.PlannedPlace
	for i, p := range res.Target.Places {
		if len(p.Layouts) == 0 {
			continue
		}
		place := ui.PlannedPlace{To: p.Store.String()}
		if i < len(res.Places) {
			place.Problem = res.Places[i]
		}
		if i < len(res.Foreign) && res.Foreign[i] != "" {
			place.Foreign, place.Problem = res.Foreign[i], ""
		}
		out = append(out, place)
	}
	return out
}

// tearing advises about a target whose readers may find a certificate beside
// another's key, between the renames of plain files.
func tearing(t *renew.Target) string {
	if t == nil || t.ReuseKey || t.Record.Foreign {
		return ""
	}
	for _, p := range t.Places {
		for _, n := range p.Named {
			if p.Swap == issue.SwapFiles && n.Name != "combined" {
				return "the plain files in " + ui.Clean(p.Store.String()) + " are replaced one after the other: between two renames a reader " +
					"may find a certificate beside another's key. A directory (without swap: files) or the layout combined has no such " +
					"moment; nor has renew --reuse-key"
			}
		}
	}
	return ""
}

// leftover is what a target has left where it is wanted no more; without any stores
// where that is nothing.
func (k *care) leftover(res renew.Result) (renew.Leftover, error) {
	t := res.Target
	left := renew.Leftover{Target: t}
	if t == nil {
		return left, nil
	}
	for _, to := range res.Former {
		store, err := k.c.env.Registry.Store(to, k.c.options())
		if err != nil {
			continue // of a kind that this version does not have
		}
		left.Stores = append(left.Stores, store)
	}
	if left.Whole = k.dropped(t); !left.Whole {
		return left, nil
	}
	own, err := backends.Canonical(k.dir.ServicePath(t.Record.Namespace, t.Record.Service))
	if err != nil {
		return left, err
	}
	var last []issue.Store
	for _, p := range t.Places {
		at, err := backends.Canonical(p.Store.String())
		if err != nil {
			return left, err
		}
		if at == own {
			last = append(last, p.Store)
		} else {
			left.Stores = append(left.Stores, p.Store)
		}
	}
	left.Stores = append(left.Stores, last...)
	return left, nil
}
