package renew

import (
	"context"
	"errors"
	"slices"

	"github.com/meshpki/meshpki/issue"
)

// formerly lists the places that the target had, and has no more, as its places tell.
func (v *View) formerly(t *Target) []string {
	var kept []map[string]string
	for _, s := range v.seen {
		// An order with the same places knows of no former one.
		if s.other == "" && len(s.set.Facts) > 0 && (s.set.Facts[issue.FactFormer] != "" || !samePlaces(s.record, t.Record)) {
			kept = append(kept, s.set.Facts)
		}
	}
	return t.Record.Former(kept...)
}

func samePlaces(a, b issue.Record) bool {
	return slices.EqualFunc(a.Outputs, b.Outputs, func(x, y issue.RecordOutput) bool { return x.To == y.To })
}

// HoldsOf says that a place holds another service's certificate.
func HoldsOf(service string) string { return "it holds the certificate of " + service }

// try sees of each place whether it could be written, and says what it finds of
// others there; what else is wrong is added to what is known of the place.
func (v *View) try(ctx context.Context, t *Target) []string {
	foreign := make([]string, len(t.Places))
	for i, p := range t.Places {
		switch err := p.try(ctx, false); {
		case v.seen[i].other != "":
			foreign[i] = HoldsOf(v.seen[i].other)
		case errors.Is(err, issue.ErrForeign):
			foreign[i] = err.Error()
		case err != nil:
			v.Places[i] = err.Error()
		}
	}
	return foreign
}

// try sees whether a place could be written.
func (p Place) try(ctx context.Context, replace bool) error {
	try, ok := p.Store.(issue.Preparer)
	if !ok || !p.keeps() {
		return nil
	}
	files := issue.Files{}
	for _, l := range p.Named {
		for _, name := range l.Files {
			files[name] = issue.File{}
		}
	}
	return try.Prepare(ctx, p.SetOf(files, nil, replace))
}

// mayReplace tells whether a place may be taken from a service, or from files that
// are not ours.
func (w *work) mayReplace(other string) bool { return w.replace != nil && w.replace(other) }
