package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/renew"
)

// abandoned are the services of which nothing is left but a journal: no manifest names
// them, and nothing was ever kept for them. A key may be in it, so it is not forgotten
// about; but another manifest may name them, so only who is asked takes it away.
func (k *care) abandoned(ctx context.Context, m renew.Memory) ([]renew.Leftover, error) {
	names, err := m.Names(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	known, err := k.known()
	if err != nil {
		return nil, err
	}
	var out []renew.Leftover
	for _, id := range names {
		namespace, service, isTarget := strings.Cut(id, ".")
		if _, found := slices.BinarySearch(known, id); found || !isTarget {
			continue
		}
		out = append(out, renew.Leftover{Whole: true, Target: &renew.Target{
			Name: label(id), Record: issue.Record{Service: service, Namespace: namespace},
		}})
	}
	return out, nil
}

// leftOf is what status says of such a service; flags name the place of the command.
func leftOf(l renew.Leftover, flags string) ui.StatusService {
	r := l.Target.Record
	return ui.StatusService{Level: ui.LevelWarning, RenewedService: ui.RenewedService{
		Name: l.Target.Name, Service: r.Service, Namespace: r.Namespace, State: "left",
		Reason: onlyJournal + ": meshpki apply --prune" + flags + " takes it away",
	}}
}

// onlyJournal is why one is to be removed.
const onlyJournal = "it is under care no more, and its journal is left"

// planAbandoned takes them into a plan.
func (k *care) planAbandoned(ctx context.Context, p *planned, m renew.Memory) error {
	if k.m == nil {
		return nil // nothing is ever removed without a manifest
	}
	left, err := k.abandoned(ctx, m)
	for _, l := range left {
		r := l.Target.Record
		p.leftovers = append(p.leftovers, l)
		p.doc.List = append(p.doc.List, ui.PlannedService{
			Name: l.Target.Name, Service: r.Service, Namespace: r.Namespace, Change: "remove", Reason: onlyJournal,
		})
	}
	return err
}

// leaveAbandoned has those removed that were agreed to, and are abandoned still.
func (a *applying) leaveAbandoned(ctx context.Context, m renew.Memory) error {
	if !a.k.c.Bool("prune") {
		return nil
	}
	left, err := a.k.abandoned(ctx, m)
	for _, l := range left {
		if a.doomed[l.Target.Name] {
			a.left = append(a.left, l)
		}
	}
	return err
}
