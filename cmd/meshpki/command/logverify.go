package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
)

func logVerifyCommand() *command {
	return &command{
		name:    "verify",
		summary: "check that the record is whole, or a proof",
		about: "Reads the whole ledger and checks every entry, every tile and the signed checkpoint, and that every certificate " +
			"under care is in it. What is not what was written is named.\n\n" +
			"--since holds the ledger against a checkpoint that was kept elsewhere: nothing that it covers was changed or taken " +
			"out. Only that shows that a whole directory was put back to an older state; checkpointTo in the manifest keeps one.\n\n" +
			"--proof checks a proof of log prove, with nothing but the log's public key.",
		examples: []example{
			{"is it whole?", "meshpki log verify"},
			{"was anything changed since a checkpoint was kept?", "meshpki log verify --since kept.checkpoint"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: common(
			text("since", "a checkpoint kept elsewhere, a `FILE`"),
			text("proof", "check this proof instead, a `FILE`"),
			text("log-key", "the log's public `KEY`, or a file with it; with --proof"),
		),
		run: runLogVerify,
	}
}

func runLogVerify(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	if c.IsSet("proof") || c.IsSet("log-key") {
		return c.verifyProof()
	}
	var kept []byte
	if name := c.String("since"); name != "" {
		var err error
		if kept, err = c.readSource(name); err != nil {
			return err
		}
	}
	d, err := c.openKeeping()
	if err != nil {
		return err
	}
	doc := ui.LogVerified{}
	expected, err := c.expected(ctx, d)
	if err != nil {
		return err
	}
	found, err := d.Ledger().Verify(ctx, expected.certificates)
	if err != nil {
		return err
	}
	doc.Entries, doc.Certificates = int(found.Size), len(expected.certificates)
	for _, damage := range found.Damage {
		doc.Problems = append(doc.Problems, damage.Error())
	}
	if len(found.Damage) == 0 {
		doc.Problems = append(doc.Problems, expected.problems...)
		for _, i := range found.Missing {
			doc.Problems = append(doc.Problems, expected.unrecorded[i])
		}
		if found.Index != "" {
			doc.Problems = append(doc.Problems, found.Index)
		}
		if err := c.verifySince(d.Ledger(), kept, &doc); err != nil {
			return err
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

// verifySince holds the ledger against the checkpoints that are kept elsewhere.
func (c *call) verifySince(l *file.Ledger, kept []byte, doc *ui.LogVerified) error {
	try := func(size int64, err error) error {
		if r, ok := errors.AsType[*file.RollbackError](err); ok {
			doc.Problems = append(doc.Problems, r.Error())
			return nil
		}
		doc.Since = max(doc.Since, size)
		return err
	}
	if kept != nil {
		if err := try(l.Since(c.String("since"), kept)); err != nil {
			return err
		}
	}
	return try(l.SinceCopy())
}

// expected is what the ledger has to have: certificates, and what is to be said of one
// that it does not have.
type expected struct {
	certificates [][]byte
	unrecorded   []string
	problems     []string // of what could not be looked at
}

// expected finds the certificates of the directory, and those that its services
// keep elsewhere.
func (c *call) expected(ctx context.Context, d *file.Directory) (expected, error) {
	var all expected
	authorities, err := d.Authorities()
	if err != nil {
		return all, err
	}
	for _, a := range authorities {
		for _, cert := range a.Certificates() {
			all.certificates = append(all.certificates, cert.Raw)
			all.unrecorded = append(all.unrecorded, fmt.Sprintf("the certificate of authority %s is not in the ledger", a.Name))
		}
	}
	services, err := d.Services()
	if err != nil {
		return all, err
	}
	for _, s := range services {
		for _, place := range c.placesOf(ctx, s) {
			set, _, err := place.Load(ctx)
			if errors.Is(err, fs.ErrNotExist) {
				continue // an interrupted first issue: nothing was handed out there
			}
			if err != nil {
				all.problems = append(all.problems, fmt.Sprintf("%s: %v", place, err))
				continue
			}
			if len(set.Files) == 0 {
				continue // what is kept is elsewhere
			}
			chain := decode(set.Files)
			if chain == nil || chain[0].IsCA {
				all.problems = append(all.problems, fmt.Sprintf("%s: no service's certificate can be read from %s", place, strings.Join(set.Files.Names(), ", ")))
				continue
			}
			all.certificates = append(all.certificates, chain[0].Raw)
			all.unrecorded = append(all.unrecorded, fmt.Sprintf("%s: the certificate with serial %s is not in the ledger", place, ca.FormatSerial(chain[0].SerialNumber)))
		}
	}
	return all, nil
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
