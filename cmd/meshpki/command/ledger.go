package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/issue"
)

func logCommand() *command {
	return &command{
		name:    "log",
		summary: "show and verify the record of everything signed",
		about:   "The ledger of the state directory: every certificate that its authorities signed, and every revocation.",
		examples: []example{
			{"what was signed", "meshpki log show"},
			{"is it whole?", "meshpki log verify"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		sub:   []*command{logShowCommand(), logVerifyCommand()},
	}
}

func logShowCommand() *command {
	return &command{
		name:     "show",
		summary:  "list what was signed and revoked",
		about:    "Lists the entries of the ledger, the oldest first: what was signed, for whom, by whom, and what was revoked.",
		examples: []example{{"everything", "meshpki log show"}, {"one service", "meshpki log show --service payment --namespace prod"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage),
		flags: common(
			text("service", "only entries of this service, a `NAME`"),
			text("namespace", "only entries of this `NAMESPACE`"),
			toggle("pending", "only orders that were sent to an authority and never answered"),
		),
		run: runLogShow,
	}
}

func runLogShow(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	d, err := c.open()
	if err != nil {
		return err
	}
	doc := ui.Log{Now: c.env.Now()}
	var all []ca.Entry
	for e, err := range d.Ledger().Entries(ctx) {
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	revoked, err := d.Ledger().Revoked(ctx)
	if err != nil {
		return err
	}
	if c.Bool("pending") {
		all = pending(all)
	}
	for _, e := range all {
		if s := c.String("service"); s != "" && s != e.Service {
			continue
		}
		if n := c.String("namespace"); n != "" && n != e.Namespace {
			continue
		}
		doc.Entries = append(doc.Entries, logEntry(e, revoked, c.env.Now()))
	}
	return c.say(doc)
}

// pending keeps the intents that no certificate for the same key has followed.
func pending(all []ca.Entry) []ca.Entry {
	signed := map[string]bool{}
	for _, e := range all {
		if e.Kind == ca.KindLeaf || e.Kind == ca.KindCA {
			signed[e.Key] = true
		}
	}
	var open []ca.Entry
	for _, e := range all {
		if e.Kind == ca.KindIntent && !signed[e.Key] {
			open = append(open, e)
		}
	}
	return open
}

// logEntry turns an entry of the ledger into a line of the document.
func logEntry(e ca.Entry, revoked ca.Revoked, now time.Time) ui.LogEntry {
	out := ui.LogEntry{Kind: string(e.Kind), At: e.At.UTC(), Serial: e.Serial, Issuer: e.Issuer, Service: e.Service,
		Namespace: e.Namespace, NotAfter: e.NotAfter.UTC(), Reason: e.Reason, Number: e.Number, SHA256: e.SHA256, Note: e.Note}
	if len(e.Certificate) == 0 {
		return out
	}
	objects, err := inspect.Parse(e.Certificate)
	if err != nil || len(objects) == 0 || objects[0].Certificate == nil {
		return out
	}
	cert := objects[0].Certificate
	facts := inspect.Describe("", objects[0], now).Certificate
	out.Subject, out.Fingerprint, out.NotAfter, out.State = facts.Name, facts.Fingerprint, cert.NotAfter.UTC(), facts.State
	if _, gone := revoked.Certificate(cert); gone {
		out.State = "revoked"
	}
	return out
}

func logVerifyCommand() *command {
	return &command{
		name:    "verify",
		summary: "check that the record is whole",
		about: "Reads the whole ledger and checks that each entry follows the one before it, byte for byte, and that every " +
			"certificate in the directory is in it. A line that was changed, moved or taken out is named.",
		examples: []example{{"is it whole?", "meshpki log verify"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags:    common(),
		run:      runLogVerify,
	}
}

func runLogVerify(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	d, err := c.open()
	if err != nil {
		return err
	}
	doc := ui.LogVerified{}
	var revoked ca.Revoked
	known := map[string]bool{}
	for e, err := range d.Ledger().Entries(ctx) {
		if broken, ok := errors.AsType[*file.LedgerError](err); ok {
			doc.Problems = append(doc.Problems, broken.Error())
			break
		}
		if err != nil {
			return err
		}
		doc.Entries++
		revoked.Add(e)
		if len(e.Certificate) > 0 {
			known[string(e.Certificate)] = true
		}
	}
	// What is on disk is held against a record that could be read to its end.
	if len(doc.Problems) == 0 {
		if doc.Certificates, doc.Problems, err = c.unrecorded(ctx, d, known); err != nil {
			return err
		}
		// The index of revocations is a copy that others read; it must say the same.
		index, err := d.Ledger().Revoked(ctx)
		if err != nil {
			return err
		}
		if index.Len() != revoked.Len() {
			doc.Problems = append(doc.Problems, fmt.Sprintf("the index of revocations in cache/ knows %d of %d: delete it, and it is made anew", index.Len(), revoked.Len()))
		}
	}
	if err := c.say(doc); err != nil {
		return err
	}
	if len(doc.Problems) > 0 {
		return errNo
	}
	return nil
}

// unrecorded counts the certificates of the directory, and those that its services
// keep elsewhere, and names those that are not in the ledger.
func (c *call) unrecorded(ctx context.Context, d *file.Directory, known map[string]bool) (int, []string, error) {
	var problems []string
	n := 0
	all, err := d.Authorities()
	if err != nil {
		return 0, nil, err
	}
	for _, a := range all {
		for _, cert := range a.Certificates() {
			n++
			if !known[string(cert.Raw)] {
				problems = append(problems, fmt.Sprintf("the certificate of authority %s is not in the ledger", a.Name))
			}
		}
	}
	services, err := d.Services()
	if err != nil {
		return 0, nil, err
	}
	for _, s := range services {
		for _, place := range c.placesOf(ctx, s) {
			set, _, err := place.Load(ctx)
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s: %v", place, err))
				continue
			}
			chain := decode(set.Files)
			if chain == nil {
				continue
			}
			n++
			if !known[string(chain[0].Raw)] {
				problems = append(problems, fmt.Sprintf("%s: the certificate with serial %s is not in the ledger", place, ca.FormatSerial(chain[0].SerialNumber)))
			}
		}
	}
	return n, problems, nil
}

// placesOf are a service's own place, and those that its order names beside it.
func (c *call) placesOf(ctx context.Context, own issue.Store) []issue.Store {
	places := []issue.Store{own}
	set, _, err := own.Load(ctx)
	if err != nil {
		return places
	}
	record, err := issue.RecordOf(set.Facts)
	if err != nil {
		return places
	}
	for _, o := range record.Outputs {
		if o.To == "" {
			continue
		}
		if store, err := c.env.Registry.Store(o.To, c.options()); err == nil {
			places = append(places, store)
		}
	}
	return places
}
