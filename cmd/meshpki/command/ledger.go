package command

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

func logCommand() *command {
	return &command{
		name:    "log",
		summary: "show, verify and prove the record of everything signed",
		about: "The ledger of the state directory: every certificate and CRL that its authorities signed, and every revocation, " +
			"in a Merkle log whose checkpoint is signed with a key of its own.",
		examples: []example{
			{"what was signed", "meshpki log show"},
			{"is it whole?", "meshpki log verify"},
			{"what to keep elsewhere", "meshpki log checkpoint --out kept.checkpoint"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		sub:   []*command{logShowCommand(), logVerifyCommand(), logProveCommand(), logCheckpointCommand(), logKeyCommand()},
	}
}

// kinds and states are what log show can be asked for.
func kinds() []string {
	return []string{string(ca.KindLeaf), string(ca.KindCA), string(ca.KindCRL), string(ca.KindRevocation), string(ca.KindIntent)}
}

func states() []string { return []string{"valid", "expired", "revoked"} }

func logShowCommand() *command {
	return &command{
		name:    "show",
		summary: "list what was signed and revoked",
		about: "Lists the entries of the ledger, the oldest first: what was signed, for whom, by whom, and what was revoked. " +
			"Several conditions are all to hold.",
		examples: []example{
			{"everything", "meshpki log show"},
			{"one service", "meshpki log show --service payment --namespace prod"},
			{"what was signed in the last week and is valid", "meshpki log show --since 7d --state valid"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage),
		flags: common(
			text("service", "only entries of this service, a `NAME`"),
			text("namespace", "only entries of this `NAMESPACE`"),
			text("issuer", "only what this authority signed, a `NAME` of ca list or a part of the issuer's own name"),
			text("kind", "only entries of this kind: `"+strings.Join(kinds(), "|")+"`"),
			text("state", "only certificates in this state: `"+strings.Join(states(), "|")+"`"),
			text("since", "only entries from this `TIME` on: RFC 3339, or how long ago"),
			text("until", "only entries before this `TIME`: RFC 3339, or how long ago"),
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
	wanted, err := c.logFilter(d)
	if err != nil {
		return err
	}
	doc := ui.Log{Now: c.env.Now()}
	revoked, err := d.Ledger().Revoked(ctx)
	if err != nil {
		return err
	}
	signed := map[string]bool{}
	var chosen []ca.Entry
	for e, err := range d.Ledger().Entries(ctx) {
		if err != nil {
			return err
		}
		if e.Kind == ca.KindLeaf || e.Kind == ca.KindCA {
			signed[e.Key] = true
		}
		if wanted(e) {
			chosen = append(chosen, e)
		}
	}
	for _, e := range chosen {
		// An intent that a certificate for the same key has followed is not pending.
		if c.Bool("pending") && signed[e.Key] {
			continue
		}
		entry := logEntry(e, revoked, c.env.Now())
		if s := c.String("state"); s == "" || s == entry.State {
			doc.Entries = append(doc.Entries, entry)
		}
	}
	return c.say(doc)
}

// logFilter tells which entries are asked for, but for their state.
func (c *call) logFilter(d *file.Directory) (func(ca.Entry) bool, error) {
	if err := oneOf("kind", c.String("kind"), kinds()); err != nil {
		return nil, err
	}
	if err := oneOf("state", c.String("state"), states()); err != nil {
		return nil, err
	}
	since, err := c.ago("since")
	if err != nil {
		return nil, err
	}
	until, err := c.ago("until")
	if err != nil {
		return nil, err
	}
	issuer := c.String("issuer")
	signer := "none"
	if a, err := d.Authority(issuer); err == nil && issuer != "" {
		signer = hex.EncodeToString(a.Certificate.SubjectKeyId)
	}
	is := func(flag, value string) bool { return c.String(flag) == "" || c.String(flag) == value }
	return func(e ca.Entry) bool {
		return is("service", e.Service) && is("namespace", e.Namespace) && is("kind", string(e.Kind)) &&
			(issuer == "" || e.IssuerKey == signer || strings.Contains(strings.ToLower(e.Issuer), strings.ToLower(issuer))) &&
			(since.IsZero() || !e.At.Before(since)) && (until.IsZero() || e.At.Before(until)) &&
			(!c.Bool("pending") || e.Kind == ca.KindIntent)
	}, nil
}

// ago reads a flag's point in time: RFC 3339, or a duration back from now.
func (c *call) ago(flag string) (time.Time, error) {
	s := c.String(flag)
	if s == "" && !c.IsSet(flag) {
		return time.Time{}, nil
	}
	if d, err := config.ParseDuration(s); err == nil {
		return c.env.Now().Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, usagef("--%s: %q is neither a time, such as 2027-01-31T12:00:00Z, nor how long ago, such as 7d", flag, s)
	}
	return at, nil
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
