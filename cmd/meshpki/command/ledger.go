package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/issue"
)

func revokeCommand() *command {
	return &command{
		name:    "revoke",
		summary: "revoke a certificate",
		args:    "SERIAL|FILE",
		about: "Records the end of a certificate that this directory's authorities signed, named by its serial number or by a " +
			"file whose first certificate it is. From then on issue --if-due and needs-renewal take it for due, a revoked " +
			"intermediate signs nothing more, and a key that was compromised is not certified again. A revocation is never " +
			"taken back. Revoking twice changes nothing.",
		examples: []example{{"the certificate of a service", "meshpki revoke pki/services/prod/payment/tls.crt --reason keyCompromise"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: common(
			text("reason", "why: `"+strings.Join(revocable(), "|")+"` (default unspecified)"),
		),
		run: runRevoke,
	}
}

// revocable are the reasons that can be given.
func revocable() []string {
	var out []string
	for _, name := range ca.ReasonNames() {
		if name != ca.CertificateHold.String() {
			out = append(out, name)
		}
	}
	return out
}

func runRevoke(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "a serial number or a FILE")
	if err != nil {
		return err
	}
	reason, err := ca.ParseReason(c.String("reason"))
	if err != nil {
		err := usagef("--reason: %v", err)
		if near := config.Nearest(c.String("reason"), revocable()); near != "" {
			return err.withHint("did you mean %s?", near)
		}
		return err
	}
	d, err := c.open()
	if err != nil {
		return err
	}
	serial, cert, err := c.serial(args[0])
	if err != nil {
		return err
	}
	var entry ca.Entry
	if cert != nil {
		entry, err = d.RevokeCertificate(ctx, cert, reason)
	} else {
		entry, err = d.Revoke(ctx, serial, reason)
	}
	doc := ui.Revoked{Serial: ca.FormatSerial(serial), Service: entry.Service, Namespace: entry.Namespace, Reason: orElse(entry.Reason, reason.String()), State: "revoked"}
	switch {
	case errors.Is(err, ca.ErrUnknownSerial):
		doc.State = "unknown"
	case errors.Is(err, ca.ErrRevoked):
		doc.State = "already-revoked"
	case err != nil:
		return err
	}
	if err := c.say(doc); err != nil {
		return err
	}
	if doc.State == "unknown" {
		return errNo
	}
	return nil
}

// serial reads a serial number, or takes it from a file's first certificate, which
// it gives too.
func (c *call) serial(arg string) (*big.Int, *x509.Certificate, error) {
	if n, err := ca.ParseSerial(arg); err == nil {
		return n, nil, nil
	}
	objects, err := c.objects(arg)
	if err != nil {
		return nil, nil, err
	}
	certs := inspect.Certificates(objects)
	if len(certs) == 0 {
		return nil, nil, fmt.Errorf("%s: %w", arg, errNoCertificate)
	}
	return certs[0].SerialNumber, certs[0], nil
}

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
		Namespace: e.Namespace, Reason: e.Reason, Note: e.Note}
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
		n++
		if !known[string(a.Certificate.Raw)] {
			problems = append(problems, fmt.Sprintf("the certificate of authority %s is not in the ledger", a.Name))
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
