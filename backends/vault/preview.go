package vault

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

var (
	_ ca.Previewer  = (*Authority)(nil)
	_ ca.Foreteller = (*Authority)(nil)
)

// usualBackdate is how far before now Vault has a certificate begin, unless its role
// says otherwise.
const usualBackdate = 30 * time.Second

// Preview shows what the mount would make of a request, by its issuer and, where the
// policies let it be read, by the role. Nothing is signed.
func (a *Authority) Preview(ctx context.Context, req ca.Request) (*x509.Certificate, error) {
	now := a.now()
	if err := check(req, now); err != nil {
		return nil, err
	}
	if a.settings.Mode == modeVerbatim && !req.Identity.SPIFFEID().IsZero() {
		return nil, noShape()
	}
	r := a.roleNow(ctx)
	by, err := a.signer(ctx, r)
	if err != nil {
		return nil, err
	}
	begin, end := now.Add(-usualBackdate), req.Validity.NotAfter
	if r != nil && a.settings.Mode == modeSign && r.notBefore > 0 {
		begin = now.Add(-r.notBefore)
	}
	if r != nil && req.Validity.UpTo && r.maxTTL > 0 && end.After(now.Add(r.maxTTL)) {
		end = now.Add(r.maxTTL)
	}
	if end.After(by.NotAfter) {
		if !req.Validity.UpTo {
			return nil, &ca.ValidityError{NotAfter: end, Limit: by.NotAfter, Issuer: by.Subject.CommonName}
		}
		end = by.NotAfter
	}
	return ca.Foresee(req, by, begin, end, func(leaf *x509.Certificate) {
		if a.settings.Mode == modeSign { // it sorts them
			leaf.DNSNames = slices.Sorted(slices.Values(leaf.DNSNames))
		}
	})
}

// signer is the CA that would sign: the one of the entry, the role's, or the mount's
// default.
func (a *Authority) signer(ctx context.Context, r *role) (*x509.Certificate, error) {
	ref := a.settings.Issuer
	if ref == "" && r != nil && plainPart(r.issuerRef) {
		ref = r.issuerRef
	}
	by, err := a.issuer(ctx, firstOf(ref, "default"))
	if err != nil {
		return nil, a.refused(ctx, err)
	}
	return by.certificate, nil
}

// Foretell tells what signs, and what the role would refuse or alter, with the command
// that mends it.
func (a *Authority) Foretell(ctx context.Context, req ca.Request) (out []ca.Foretold, _ error) {
	tell := func(part, value, why string) { out = append(out, ca.Foretold{Part: part, Value: value, Why: why}) }
	path, err := a.signPath()
	if err != nil {
		return nil, err
	}
	tell("call", path, "Vault has the last word; nothing has been signed")
	tell(issue.PartBegin, "", "before now, for clocks that are behind")
	if a.settings.Role == "" {
		return out, nil
	}
	r := a.roleNow(ctx)
	if r == nil {
		if got, err := a.client.read(ctx, a.path("roles", a.settings.Role)); err == nil && len(got.data) == 0 {
			tell("role", a.settings.Role, "WILL NOT DO: there is none; meshpki backend check "+a.String()+" --suggest prints one that would do")
			return out, nil
		}
		tell("role", a.settings.Role, "it cannot be read, so what it does to a certificate shows only in the first one; let its policies read "+a.path("roles", a.settings.Role))
		return out, nil
	}
	csr, err := ca.ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	life := (req.Validity.NotAfter.Sub(a.now()) + time.Minute - 1).Truncate(time.Minute)
	if req.Validity.UpTo && r.maxTTL > 0 && life > r.maxTTL {
		tell(issue.PartEnd, "", "role "+a.settings.Role+" has max_ttl="+span(r.maxTTL)+", and a default life is cut to it")
		life = r.maxTTL
	}
	want := backends.Want{Identity: req.Identity, Profile: req.Profile, KeyType: ca.KeyTypeOf(csr.PublicKey), Validity: life}
	doubts := a.predict(r, want, 0)
	if set := usagesOf(r.keyUsage); a.settings.Mode == modeSign && r.permitsUsage(req.Profile.KeyUsage(want.KeyType)) && set != req.Profile.KeyUsage(want.KeyType) {
		tell(issue.PartUsage, "", "as ordered, and role "+a.settings.Role+" adds to it: "+strings.Join(usageNames(set), ", "))
	}
	for i, d := range doubts {
		part := "role"
		if i > 0 { // a part is told of once
			part = fmt.Sprintf("role (%d)", i+1)
		}
		word := "WILL NOT DO: "
		if d.state != backends.StateFailed {
			word = "may not do: "
		}
		tell(part, a.settings.Role, word+d.says+"; "+d.remedy)
	}
	if len(doubts) == 0 {
		tell("role", a.settings.Role, "gives what is ordered")
	}
	return out, nil
}
