package command

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"iter"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// bulk is issue --file at work: its services are issued for as a pass of renewal
// does, several at once, without hooks and confirmations. Nothing is kept of one
// that has been told, so that a hundred thousand need no more memory than a few.
type bulk struct {
	k    *care
	json *ui.IssuedStream // nil where the answer is text

	rows   []bulkRow // of text, unless there are too many
	count  map[string]int
	told   int
	step   int
	failed bool

	next int                      // the service that the JSON list goes on with
	wait map[int]ui.IssuedService // those that were done before it

	leftOut, cut int // how many services there have been notices about
}

// bulkRow is a line of the text.
type bulkRow struct {
	index   int
	service ui.IssuedService
}

// mostNotices is how many notices of a kind are given before they are only counted.
const mostNotices = 10

func newBulk(k *care) (*bulk, error) {
	format, err := k.c.format()
	if err != nil {
		return nil, err
	}
	b := &bulk{k: k, count: map[string]int{}, wait: map[int]ui.IssuedService{}, step: max(1, len(k.m.Services)/200)}
	if format == "json" {
		b.json = ui.NewIssuedStream(k.c.env.Stdout)
	}
	return b, nil
}

// bulkMemory is what issue --file keeps within, however many services there are.
const bulkMemory = 104 << 20

// frugal trades time for memory until it is undone, unless GOMEMLIMIT or GOGC says otherwise.
func (c *call) frugal() (undo func()) {
	if c.env.Getenv("GOMEMLIMIT")+c.env.Getenv("GOGC") != "" {
		return func() {}
	}
	percent := debug.SetGCPercent(passGarbage)
	most := debug.SetMemoryLimit(bulkMemory)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(most)
	}
}

// pass issues for what is new, changed or due.
func (b *bulk) pass(ctx context.Context) error {
	k := b.k
	r := k.renewer()
	last, err := lastPass(ctx, r.Memory)
	if err != nil {
		return err
	}
	o := renew.Options{AtOnce: true, Count: len(k.m.Services), Force: k.c.Bool("force"), Each: b.tell}
	if last != nil {
		o.Seen = last.Ended
	}
	if o.Force {
		o.Replace = func(string) bool { return true }
	}
	return r.Pass(ctx, b.candidates(), o)
}

func (b *bulk) candidates() iter.Seq[renew.Candidate] {
	return func(yield func(renew.Candidate) bool) {
		for i := range b.k.m.Services {
			if !yield(func(context.Context) (*renew.Target, error) { return b.target(i) }) {
				return
			}
		}
	}
}

// target is a service of the file, without what comes once its files are new.
func (b *bulk) target(i int) (*renew.Target, error) {
	j, err := b.k.c.manifestJob(b.k.dir, b.k.m, i, true)
	if err != nil {
		return nil, errors.Join(renew.ErrAbort, err)
	}
	t := j.target(false)
	t.Listed, t.From = true, j.from
	return t, nil
}

// tell takes the result of one service; never two at once.
func (b *bulk) tell(res renew.Result) {
	i, known := b.k.listed[res.Name]
	if !known {
		return
	}
	s := &b.k.m.Services[i]
	d := ui.IssuedService{Service: s.Name, Namespace: b.k.m.NamespaceOf(s), Reason: res.Reason}
	switch {
	case res.Err != nil || res.Leaf == nil || res.Target == nil:
		d.State, d.Reason = "failed", "it was not done"
		if res.Err != nil {
			d.Reason = res.Err.Error()
		}
	default:
		done := &issued{j: &job{c: b.k.c, record: res.Target.Record, profile: res.Target.Profile}, state: stateOfStanding(res.Standing),
			reason: res.Reason, chain: []*x509.Certificate{res.Leaf}, record: res.Target.Record, due: res.Decision.At}
		if done.state != "fresh" {
			done.due = res.Target.Policy.DueAt(res.Leaf.NotBefore, res.Leaf.NotAfter)
			b.notices(done, res)
		}
		if d.State = done.state; !b.lists() {
			break // and is only counted
		}
		if res.Decision.Check == "missing" {
			done.reason = ""
		}
		done.placed(s, res.Target)
		d = done.document()
	}
	b.add(i, d)
}

// placed takes the places of a target, and the names of their files.
func (i *issued) placed(s *config.Service, t *renew.Target) {
	for n, p := range t.Places {
		if len(p.Layouts) == 0 {
			continue
		}
		i.j.shown = append(i.j.shown, cmp.Or(placeAsGiven(s, n), p.Store.String()))
		for _, l := range p.Named {
			for _, f := range l.Files {
				if !slices.Contains(i.j.names, f) {
					i.j.names = append(i.j.names, f)
				}
			}
		}
	}
}

// placeAsGiven is a place as the file has it; "" where that is the service's own.
func placeAsGiven(s *config.Service, n int) string {
	if n < len(s.Outputs) {
		return s.Outputs[n].To
	}
	return ""
}

func stateOfStanding(s renew.Standing) string {
	switch s {
	case renew.StandsRenewed:
		return "issued"
	case renew.StandsAgain:
		return "delivered"
	}
	return "fresh"
}

// notices say which defaults were left out, and which end was cut.
func (b *bulk) notices(done *issued, res renew.Result) {
	if done.state != "issued" {
		return
	}
	full, err := ordered(res, b.k.c.env.Now())
	if err != nil {
		return
	}
	leaf := done.leaf()
	for _, n := range append(full.Identity.Names(), full.LeftOut...) {
		has := n.Type == ca.DNS && slices.Contains(leaf.DNSNames, n.Value) || n.Type == ca.CommonName && leaf.Subject.CommonName == n.Value
		if (n.Type == ca.DNS || n.Type == ca.CommonName) && !has {
			done.leftOut = append(done.leftOut, n)
		}
	}
	short := leaf.NotAfter.Before(full.NotAfter.Add(-time.Minute))
	if len(done.leftOut) > 0 {
		b.leftOut++
	}
	if short {
		b.cut++
	}
	if b.leftOut > mostNotices {
		done.leftOut = nil
	}
	if done.asked = leaf.NotAfter; short && b.cut <= mostNotices {
		done.asked = full.NotAfter
	}
	done.j.tellLeftOut(done)
}

// ordered is what was ordered for a target in this pass or, where that was begun in an
// earlier one, what would be now.
func ordered(res renew.Result, now time.Time) (*renew.Ordered, error) {
	if res.Ordered != nil {
		return res.Ordered, nil
	}
	o, leftOut, err := res.Target.Record.Order(res.Target.Profile, nil, now, time.Time{})
	return &renew.Ordered{Identity: o.Identity, NotAfter: o.Validity.NotAfter, LeftOut: leftOut}, err
}

// lists tells whether services are listed that did not fail.
func (b *bulk) lists() bool { return b.json != nil || len(b.k.m.Services) <= mostRows }

// mostRows is how many services the text lists; beyond, it has those that failed.
const mostRows = 1000

// add takes what came of one service, in whatever order.
func (b *bulk) add(i int, d ui.IssuedService) {
	b.told++
	b.count[d.State]++
	b.failed = b.failed || d.State == "failed"
	if total := len(b.k.m.Services); b.told%b.step == 0 || b.told == total {
		b.k.c.progress(b.told, total, d.Label())
	}
	if b.json == nil {
		if d.State == "failed" || b.lists() {
			b.rows = append(b.rows, bulkRow{i, d})
		}
		return
	}
	for b.wait[i] = d; ; b.next++ {
		d, done := b.wait[b.next]
		if !done {
			return
		}
		delete(b.wait, b.next)
		b.json.Add(d)
	}
}

// preview shows what would be made.
func (b *bulk) preview(ctx context.Context) error {
	for i := range b.k.m.Services {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s := &b.k.m.Services[i]
		d := ui.IssuedService{Service: s.Name, Namespace: b.k.m.NamespaceOf(s), State: "failed"}
		j, err := b.k.c.manifestJob(b.k.dir, b.k.m, i, true)
		if err != nil {
			return err
		}
		done, err := j.plan(ctx)
		if err != nil {
			d.Reason = err.Error()
		} else {
			j.tellLeftOut(done)
			d = done.document()
		}
		b.add(i, d)
	}
	return nil
}

// end says what came of it all. A list of JSON that was begun is finished, whatever
// ended the work.
func (b *bulk) end(err error) error {
	c := b.k.c
	if b.told < len(b.k.m.Services) && err != nil && b.told > 0 {
		c.progress(1, 1, "")
		c.notice("%d of %d were done; run again, it goes on with the others", b.told-b.count["failed"], len(b.k.m.Services))
	}
	for _, n := range []struct {
		count int
		what  string
	}{{b.leftOut, "names left out"}, {b.cut, "an end that was cut to the issuer's"}} {
		if n.count > mostNotices {
			c.notice("%d more services have %s", n.count-mostNotices, n.what)
		}
	}
	if b.json != nil {
		for _, i := range slices.Sorted(maps.Keys(b.wait)) {
			b.json.Add(b.wait[i])
		}
		if err == nil || b.told > 0 {
			err = errors.Join(err, b.json.End())
		}
	} else if err == nil {
		slices.SortFunc(b.rows, func(x, y bulkRow) int { return cmp.Compare(x.index, y.index) })
		doc := ui.IssuedMany{Now: c.env.Now(), Count: b.count}
		for _, r := range b.rows {
			doc.List = append(doc.List, r.service)
		}
		err = c.say(doc)
	}
	if err == nil && b.failed {
		err = errPartial
	}
	return err
}
