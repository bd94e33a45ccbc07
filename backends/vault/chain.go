package vault

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// rootsKept is how long the reading of the mount's issuers is good for something new.
const rootsKept = time.Hour

// maxIssuers is more than a mount in order has: each costs a call.
const maxIssuers = 50

// selfSigned tells a root by its names and key identifiers.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && (len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}

// chainOf reads what was signed: the leaf, and the CAs above it in their order. Vault
// gives them from the issuer upward; what is not over the one before is left out.
func (a *Authority) chainOf(got *signed) (ca.Chain, error) {
	leaf, err := pemfile.Certificates([]byte(got.Certificate))
	if err != nil {
		return nil, err
	}
	above, err := a.above.over(leaf[0], got)
	if err != nil {
		return nil, fmt.Errorf("its chain: %w", err)
	}
	return append(ca.Chain{leaf[0]}, above...), nil
}

// ascent remembers the CAs that the last answer came with: they are the same for one
// certificate after the other. Its zero value is ready to use, also by several at once.
type ascent struct {
	mu    sync.Mutex
	last  signed   // the answer, without the certificate
	chain ca.Chain // the issuer, and the CAs above it in their order
}

// over gives the CAs over a certificate, from its issuer upward, of those in an answer.
// Whether they signed it is for whoever holds the answer against the order to verify.
func (s *ascent) over(c *x509.Certificate, got *signed) (ca.Chain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.chain) > 0 && bytes.Equal(s.last.Issuer, got.Issuer) && bytes.Equal(s.last.Chain, got.Chain) && names(c, s.chain[0]) {
		return slices.Clone(s.chain), nil
	}
	texts, err := got.above()
	if err != nil {
		return nil, err
	}
	var above []*x509.Certificate
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			continue
		}
		certs, err := pemfile.Certificates([]byte(text))
		if err != nil {
			return nil, err
		}
		above = append(above, certs...)
	}
	chain := climb(c, above)[1:]
	s.last, s.chain = signed{Issuer: got.Issuer, Chain: got.Chain}, chain
	return slices.Clone(chain), nil
}

// names tells whether a certificate names a CA as its issuer, by name and by key.
func names(c, by *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, by.RawSubject) && len(c.AuthorityKeyId) > 0 && bytes.Equal(c.AuthorityKeyId, by.SubjectKeyId)
}

// climb puts the CAs over a certificate into order, up to a root or to where none is
// over the last.
func climb(c *x509.Certificate, above []*x509.Certificate) ca.Chain {
	chain := ca.Chain{c}
	for !selfSigned(c) && len(chain) < 10 {
		at := slices.IndexFunc(above, func(p *x509.Certificate) bool {
			return bytes.Equal(p.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(p) == nil && !slices.ContainsFunc(chain, p.Equal)
		})
		if at < 0 {
			break
		}
		c = above[at]
		chain = append(chain, c)
	}
	return chain
}

var errNoRoot = errors.New("none of its issuers' chains reaches a root")

// readRoots reads every issuer of the mount with its chain; the lock is held.
func (a *Authority) readRoots(ctx context.Context) ([]*x509.Certificate, error) {
	issuers, err := a.issuers(ctx)
	if err != nil {
		return nil, err
	}
	var own []*x509.Certificate
	if a.settings.Roots != "" {
		data, err := pemfile.ReadFile(a.settings.Roots)
		if err == nil {
			own, err = pemfile.Certificates(data)
		}
		if err != nil {
			return nil, fmt.Errorf("the roots of %s: %s: %w", a, a.settings.Roots, err)
		}
	}
	all := slices.Clone(own)
	for _, i := range issuers {
		all = append(all, i.certificate)
		all = append(all, i.chain...)
	}
	now := a.now()
	var roots []*x509.Certificate
	add := func(c *x509.Certificate) {
		if selfSigned(c) && c.IsCA && now.Before(c.NotAfter) && !slices.ContainsFunc(roots, c.Equal) {
			roots = append(roots, c)
		}
	}
	for _, c := range own {
		add(c)
	}
	for _, i := range issuers {
		if i.revoked || !now.Before(i.certificate.NotAfter) {
			continue
		}
		chain := climb(i.certificate, all)
		add(chain[len(chain)-1])
	}
	if len(roots) == 0 {
		return nil, &remedied{error: fmt.Errorf("%s: %w", a, errNoRoot),
			remedy: "give the mount its root (vault write " + a.path("issuers/import/cert") + " pem_bundle=@root.pem), or name a file with it in the manifest: roots:"}
	}
	return roots, nil
}

// issuer is one issuer of the mount.
type issuer struct {
	id, name    string
	certificate *x509.Certificate
	chain       []*x509.Certificate
	revoked     bool
}

// issuers reads the mount's issuers. One of an older kind, without a list of issuers,
// has one: its CA.
func (a *Authority) issuers(ctx context.Context) ([]issuer, error) {
	list, err := a.client.list(ctx, a.path("issuers"))
	if isStatus(err, http.StatusForbidden) {
		// Anybody may list them, where there are any: no policy says no here.
		return nil, &remedied{error: &ca.Refusal{What: a.String(), Why: "there is no PKI mount " + a.settings.Mount + " at " + a.client.address},
			remedy: "vault secrets list names the mounts"}
	}
	if err != nil {
		return nil, a.refused(ctx, err)
	}
	ids := list.list("keys")
	if len(ids) == 0 {
		return nil, &remedied{error: &ca.Refusal{What: a.String(), Why: "the mount has no issuer yet"},
			remedy: "vault write " + a.path("root/generate/internal") + " common_name=… makes one; meshpki ca intermediate NAME --in vault:" + a.settings.Mount + " puts one of yours there"}
	}
	if len(ids) > maxIssuers {
		return nil, fmt.Errorf("%s has %d issuers, and %d is the most that is read", a, len(ids), maxIssuers)
	}
	info, _ := list.data["key_info"].(map[string]any)
	var found []issuer
	for _, id := range ids {
		if !plainPart(id) {
			return nil, fmt.Errorf("%s: an issuer's identifier is none", a)
		}
		i, err := a.issuer(ctx, id)
		if err != nil {
			return nil, a.refused(ctx, err)
		}
		if about, ok := info[id].(map[string]any); ok {
			i.name, _ = about["issuer_name"].(string)
		}
		if i.certificate != nil {
			found = append(found, i)
		}
	}
	return found, nil
}

// issuer reads one, by what needs no token.
func (a *Authority) issuer(ctx context.Context, ref string) (issuer, error) {
	got, err := a.client.public(ctx, a.path("issuer", ref, "json"))
	if err != nil || got == nil {
		return issuer{}, err
	}
	i := issuer{id: ref, revoked: got.number("revocation_time") > 0}
	certs, err := pemfile.Certificates([]byte(got.text("certificate")))
	if err != nil {
		return i, fmt.Errorf("issuer %s cannot be read: %w", ref, err)
	}
	i.certificate = certs[0]
	for _, text := range got.list("ca_chain") {
		certs, err := pemfile.Certificates([]byte(text))
		if err != nil {
			return i, fmt.Errorf("the chain of issuer %s cannot be read: %w", ref, err)
		}
		i.chain = append(i.chain, certs...)
	}
	return i, nil
}
