package command

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
	"github.com/meshpki/meshpki/renew"
)

// issued is what came of a job.
type issued struct {
	j       *job
	state   string // issued, fresh, planned
	reason  string
	chain   []*x509.Certificate
	key     crypto.Signer
	record  issue.Record
	asked   time.Time // the end that was asked for
	leftOut []ca.Name
	told    []ca.Foretold // by the authority, of what would be made
	due     time.Time
}

func (i *issued) leaf() *x509.Certificate { return i.chain[0] }

// run does the job, with the service locked for it.
func (j *job) run(ctx context.Context) (*issued, error) {
	if j.dry {
		return j.plan(ctx)
	}
	lock, err := j.dir.LockService(ctx, j.record.Namespace, j.record.Service)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	reason := ""
	if !j.toStdout {
		present, err := j.existing(ctx)
		if err != nil {
			return nil, err
		}
		if present != nil {
			decision, err := j.decide(ctx, present)
			if err != nil {
				return nil, err
			}
			present.state, present.reason, present.due = "fresh", decision.Reason, decision.At
			switch decision.Outcome {
			case renew.Fresh:
				return present, nil
			case renew.Refused:
				return nil, withHint(errors.New(decision.Reason), "set the clock; where the one that made it was wrong, --force issues another")
			}
			reason = decision.Reason
		}
	}
	authority, err := j.c.authority(ctx, j.backend)
	if err != nil {
		return nil, err
	}
	done, err := j.issue(ctx, authority)
	if err == nil {
		done.reason = reason
	}
	return done, err
}

// issue has the certificate made and delivers it.
func (j *job) issue(ctx context.Context, authority ca.Authority) (*issued, error) {
	now := j.c.env.Now()
	order, leftOut, err := j.record.Order(j.profile, judgeOf(authority), now, j.notAfter)
	if err != nil {
		return nil, err
	}
	order.CSR = j.csr
	if j.reuse {
		if order.Key, err = j.keyInPlace(ctx); err != nil {
			return nil, err
		}
	}
	outputs := j.outputs
	if j.register != nil {
		outputs = append(outputs[:len(outputs):len(outputs)], issue.Output{Store: j.register})
	}
	if err := j.checkTaken(ctx); err != nil {
		return nil, err
	}
	if err := j.checkLeftBehind(ctx); err != nil {
		return nil, err
	}
	versions, err := j.prepare(ctx, outputs)
	if err != nil {
		return nil, err
	}
	credential, finish, err := j.obtain(ctx, authority, order)
	if err != nil {
		return nil, err
	}
	leaf := credential.Leaf()
	done := &issued{j: j, state: "issued", chain: credential.Chain, key: credential.Key, record: j.record, asked: order.Validity.NotAfter,
		leftOut: leftOut, due: j.policy().DueAt(leaf.NotBefore, renew.Ends(credential.Chain))}
	ordered, err := j.record.OrderFact()
	if err != nil {
		return nil, err
	}
	facts := issue.Delivery{Order: ordered, Due: done.due, At: now, From: j.from, Former: j.former()}.Facts(credential)
	if err := issue.Deliver(ctx, credential, outputs, versions, facts, j.force); err != nil {
		return nil, withHint(err, "certificate %s is signed and recorded; nobody else has it. Mend the place and run it again",
			ui.ShortHex(ca.FormatSerial(leaf.SerialNumber)))
	}
	return done, finish(ctx)
}

// obtain has the certificate made. What an authority elsewhere is asked for is
// journaled first: an interrupted order is gone on with by the next run, and finish
// ends it.
func (j *job) obtain(ctx context.Context, authority ca.Authority, order issue.Order) (c *issue.Credential, finish func(context.Context) error, err error) {
	if _, own := authority.(*ca.Issuer); own {
		c, err = issue.Obtain(ctx, authority, order, j.c.env.Now())
		return c, func(context.Context) error { return nil }, err
	}
	e, err := j.c.renewer(j.dir).Begin(ctx, j.target(false))
	if err != nil {
		return nil, nil, err
	}
	if c, err = e.Obtain(ctx, authority, order); err != nil {
		return nil, nil, err
	}
	for i := range c.Tolerated {
		// A life that was cut is told with the certificate; here is what would mend it.
		if d := &c.Tolerated[i]; d.Part != issue.PartEnd || d.Remedy != "" {
			j.c.sayAltered(j.label(), d)
		}
	}
	return c, e.Done, nil
}

// former are the places that earlier orders of the service had.
func (j *job) former() []string {
	var kept []map[string]string
	for _, l := range j.seen {
		kept = append(kept, l.set.Facts)
	}
	return j.record.Former(kept...)
}

// plan shows what issue would make.
func (j *job) plan(ctx context.Context) (*issued, error) {
	authority, err := j.c.authority(ctx, j.backend)
	if err != nil {
		return nil, err
	}
	order, leftOut, err := j.record.Order(j.profile, judgeOf(authority), j.c.env.Now(), j.notAfter)
	if err != nil {
		return nil, err
	}
	order.CSR = j.csr
	leaf, told, err := issue.Preview(ctx, authority, order)
	if err != nil {
		return nil, err
	}
	if leaf == nil {
		return nil, usagef("backend %q cannot show what it would sign", j.backend)
	}
	return &issued{j: j, state: "planned", chain: []*x509.Certificate{leaf}, record: j.record, asked: order.Validity.NotAfter,
		leftOut: leftOut, told: told, due: j.policy().DueAt(leaf.NotBefore, leaf.NotAfter)}, nil
}

// policy says when it is due: whoever asks is told the day on which renew does it.
func (j *job) policy() renew.Policy {
	return renew.Policy{Percent: j.record.RenewAt, Name: j.label(), Jitter: renew.DefaultJitter}
}

// judgeOf is the authority's own judgement of names, if it can tell beforehand.
func judgeOf(a ca.Authority) func(ca.Name) error {
	if j, ok := a.(ca.Judge); ok {
		return j.Judge
	}
	return nil
}

// present is the certificate that the service has: at its own place, or where its
// record says. nil where there is none.
func (j *job) present(ctx context.Context) (*issued, error) {
	stores := make([]issue.Store, 0, len(j.outputs)+1)
	if j.register != nil {
		stores = append(stores, j.register)
	}
	for _, o := range j.outputs {
		stores = append(stores, o.Store)
	}
	var record *issue.Record
	for _, s := range stores {
		set, err := j.load(ctx, s)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &issue.PlaceError{Place: s.String(), Err: err}
		}
		r, err := issue.RecordOf(set.Facts)
		if err != nil || r.Service != j.record.Service || r.Namespace != j.record.Namespace {
			continue // another service's: checkTaken says so
		}
		if record == nil {
			record = &r
		}
		if chain := j.decode(set.Files); chain != nil {
			return &issued{j: j, chain: chain, record: *record}, nil
		}
	}
	return j.presentElsewhere(ctx, record)
}

// loaded is what a place answered.
type loaded struct {
	set     issue.Set
	version issue.Version
	err     error
}

// load reads a place of the job once, however many questions are asked of it: what
// is decided on one state of it must not be done to another.
func (j *job) load(ctx context.Context, s issue.Store) (issue.Set, error) {
	l, known := j.seen[s]
	if !known {
		l.set, l.version, l.err = s.Load(ctx)
		if j.seen == nil {
			j.seen = map[issue.Store]loaded{}
		}
		j.seen[s] = l
	}
	return l.set, l.err
}

// prepare tries the places before anything is signed, and sees that they are still
// as they were when it was decided what to do.
func (j *job) prepare(ctx context.Context, outputs []issue.Output) ([]issue.Version, error) {
	versions, err := issue.Prepare(ctx, outputs, j.names, j.force)
	if err != nil {
		return nil, err
	}
	for i, o := range outputs {
		if l, known := j.seen[o.Store]; known && l.version != versions[i] {
			return nil, &issue.PlaceError{Place: o.Store.String(), Err: issue.ErrChanged}
		}
	}
	return versions, nil
}

// presentElsewhere follows a record to the places that it names.
func (j *job) presentElsewhere(ctx context.Context, record *issue.Record) (*issued, error) {
	if record == nil {
		return nil, nil
	}
	for _, o := range record.Outputs {
		if o.To == "" {
			continue // the service's own place, which has been looked at
		}
		store, err := j.c.env.Registry.Store(o.To, j.c.options())
		if err != nil {
			return nil, err
		}
		set, _, err := store.Load(ctx)
		if err != nil {
			continue // gone, or not to be read: then it is not there for us
		}
		if chain := j.decode(set.Files); chain != nil {
			return &issued{j: j, chain: chain, record: *record}, nil
		}
	}
	return nil, nil
}

// decode finds the chain in the files of a set: by the job's layouts, which know the
// password of a keystore, else whatever their layout.
func (j *job) decode(files issue.Files) []*x509.Certificate {
	for _, named := range j.named {
		for _, l := range named {
			if chain, err := l.Decode(files); err == nil && len(chain) > 0 {
				return chain
			}
		}
	}
	return decode(files)
}

// decode finds the chain in the files of a set, whatever their layout.
func decode(files issue.Files) []*x509.Certificate {
	for _, l := range layout.All() {
		if chain, err := l.Decode(files); err == nil && len(chain) > 0 {
			return chain
		}
	}
	return nil
}

// decide asks whether what is in place will do.
func (j *job) decide(ctx context.Context, present *issued) (renew.Decision, error) {
	revoked, err := j.dir.Ledger().Revoked(ctx)
	if err != nil {
		return renew.Decision{}, err
	}
	state := stateOf(present.chain, revoked)
	if changes := present.record.Changes(j.record); len(changes) > 0 {
		state.Changed = "the order has changed in: " + strings.Join(changes, ", ")
	}
	return renew.Decide(state, j.policy(), j.c.env.Now()), nil
}

// checkTaken refuses a place that holds another service's certificate.
func (j *job) checkTaken(ctx context.Context) error {
	if j.force {
		return nil
	}
	for _, o := range j.outputs {
		set, err := j.load(ctx, o.Store)
		if err != nil {
			continue // Prepare says what is wrong with it
		}
		r, err := issue.RecordOf(set.Facts)
		if err == nil && (r.Service != j.record.Service || r.Namespace != j.record.Namespace) {
			return withHint(fmt.Errorf("%s holds the certificate of %s.%s", o.Store, r.Service, r.Namespace), "--force replaces it")
		}
	}
	return nil
}

// checkLeftBehind refuses to send a service's files elsewhere while those at its
// own place may be in use: they would go stale there, and nobody would know.
func (j *job) checkLeftBehind(ctx context.Context) error {
	if j.register == nil {
		return nil
	}
	set, err := j.load(ctx, j.register)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &issue.PlaceError{Place: j.register.String(), Err: err}
	case len(set.Files) == 0:
		return nil
	}
	return withHint(fmt.Errorf("%s has its files in %s, and they would be left behind", j.label(), j.register),
		"--out %s, beside the other, keeps them; or take that directory away first", j.register)
}

// keyInPlace is the private key that the service has.
func (j *job) keyInPlace(ctx context.Context) (crypto.Signer, error) {
	for _, o := range j.outputs {
		set, err := j.load(ctx, o.Store)
		if err != nil {
			continue
		}
		for _, name := range set.Files.Names() {
			if f := set.Files[name]; f.Secret {
				key, err := pemfile.ParseKey(f.Data, nil)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", o.Store, name, err)
				}
				return key, nil
			}
		}
	}
	return nil, withHint(fmt.Errorf("%s has no key in place to be used again", j.label()), "without --reuse-key a new one is made")
}

// tellLeftOut says which defaults the CA's constraints kept out, and which end was cut.
func (j *job) tellLeftOut(i *issued) {
	if i.state == "fresh" {
		return
	}
	elsewhere := !j.c.env.Registry.Local(orElse(j.backend, i.record.Backend), j.c.options())
	if len(i.leftOut) > 0 {
		var names []string
		for _, n := range i.leftOut {
			if n.Type == ca.CommonName {
				names = append(names, "the subject CN="+n.Value)
				continue
			}
			names = append(names, n.Value)
		}
		who := "the CA's constraints do"
		if elsewhere {
			who = "the authority does"
		}
		if own := j.profile.Own(); own != nil && len(own.Allow)+len(own.Forbid) > 0 {
			who = "profile " + own.Name + " or the CA's constraints do"
		}
		j.c.notice("left out, for %s not permit them: %s", who, strings.Join(names, ", "))
	}
	if id := i.record.SPIFFEID; id != "" && !strings.HasPrefix(id, "spiffe://"+i.record.TrustDomain+"/") {
		j.c.notice("%s belongs to another trust domain than this authority's, %s", id, i.record.TrustDomain)
	}
	if leaf := i.leaf(); leaf.NotAfter.Before(i.asked.Add(-time.Minute)) && elsewhere {
		j.c.notice("%s ends on %s, as its authority has decided, and not after %s", j.label(), ui.Date(leaf.NotAfter), ui.Span(i.asked.Sub(j.c.env.Now())))
	} else if leaf.NotAfter.Before(i.asked.Add(-time.Second)) {
		j.c.notice("%s ends with its issuer, on %s, and not after %s", j.label(), ui.Date(leaf.NotAfter), ui.Span(i.asked.Sub(j.c.env.Now())))
	}
}

// document is what is said of it.
func (i *issued) document() ui.IssuedService {
	leaf := i.leaf()
	d := ui.IssuedService{
		Service: i.record.Service, Namespace: i.record.Namespace, State: i.state, Reason: i.reason,
		DNS: leaf.DNSNames, Emails: leaf.EmailAddresses, Subject: leaf.Subject.String(), Profile: i.record.Profile,
		Issuer: leaf.Issuer.String(), IssuerName: leaf.Issuer.CommonName, NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(), Due: i.due,
		KeyType: string(ca.KeyTypeOf(leaf.PublicKey)),
	}
	if i.state != "planned" {
		d.Serial, d.Fingerprint = ca.FormatSerial(leaf.SerialNumber), ca.Fingerprint(leaf)
	}
	for _, ip := range leaf.IPAddresses {
		d.IPs = append(d.IPs, ip.String())
	}
	for _, u := range leaf.URIs {
		d.URIs = append(d.URIs, u.String())
	}
	d.SPIFFEID, d.NotSVID = svid(leaf)
	_, d.Purposes = ca.UsageNames(leaf.KeyUsage, leaf.ExtKeyUsage)
	if i.state == "planned" {
		d.Parts = i.partsOf()
		if slices.ContainsFunc(i.told, func(t ca.Foretold) bool { return t.Part == issue.PartEnd && t.Value != "" }) {
			d.NotBefore, d.NotAfter, d.Due = time.Time{}, time.Time{}, time.Time{}
		}
	}
	for _, to := range i.j.shown {
		place := ui.IssuedPlace{To: to}
		for _, name := range i.j.names {
			if i.record.Foreign && (name == "tls.key" || name == "key.pem") {
				continue
			}
			place.Files = append(place.Files, filepath.Base(name))
		}
		d.Places = append(d.Places, place)
	}
	return d
}

// svid tells the SPIFFE ID of an X509-SVID, or why a certificate is none.
func svid(leaf *x509.Certificate) (id, why string) {
	switch {
	case len(leaf.URIs) == 0:
		return "", "it has no URI (X509-SVID, Section 2)"
	case len(leaf.URIs) > 1:
		return "", "it has several URIs (X509-SVID, Section 2)"
	}
	identity, err := ca.NewIdentity(ca.Names{URI: []string{leaf.URIs[0].String()}})
	if err != nil || identity.SPIFFEID().IsZero() {
		return "", "its URI is no SPIFFE ID of a workload (X509-SVID, Section 2)"
	}
	id = identity.SPIFFEID().String()
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if !slices.Contains(leaf.ExtKeyUsage, use) {
			return id, "its extended key usage is not both server and client (X509-SVID, Section 4.4)"
		}
	}
	return id, ""
}
