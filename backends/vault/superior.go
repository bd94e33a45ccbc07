package vault

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// CertifyCA has the mount sign a CA of ours. Vault takes nothing of the request but
// the key and the common name, so everything else is said beside it.
func (a *Authority) CertifyCA(ctx context.Context, csr []byte, spec ca.Spec) (ca.Chain, error) {
	path := a.path("root", "sign-intermediate")
	if a.settings.Issuer != "" {
		path = a.path("issuer", a.settings.Issuer, "sign-intermediate")
	}
	body := map[string]any{
		"csr":                  string(pem.EncodeToMemory(&pem.Block{Type: pemfile.TypeRequest, Bytes: csr})),
		"common_name":          spec.CommonName,
		"ttl":                  seconds(spec.NotAfter.Sub(a.now())),
		"format":               "pem",
		"exclude_cn_from_sans": true,
		"use_csr_values":       false,
		"not_before_duration":  seconds(a.backdate(ctx)),
	}
	if spec.MaxPathLen >= 0 {
		body["max_path_length"] = spec.MaxPathLen
	}
	if !spec.URI.IsZero() {
		body["uri_sans"] = spec.URI.ID().String()
	}
	constrain(body, spec.Constraints)
	got, err := a.client.sign(ctx, path, body)
	if err != nil {
		return nil, a.refused(ctx, err)
	}
	chain, err := a.chainOf(got)
	if err != nil {
		return nil, fmt.Errorf("%s: what it signed cannot be read: %w", a, err)
	}
	return a.withoutRoots(ctx, chain)
}

// backdate is how far before now a CA begins: as ours do, but not before its issuer,
// which Vault refuses.
func (a *Authority) backdate(ctx context.Context) time.Duration {
	by, err := a.issuer(ctx, firstOf(a.settings.Issuer, "default"))
	if err != nil || by.certificate == nil {
		return 0
	}
	return max(min(ca.Backdate, a.now().Sub(by.certificate.NotBefore).Truncate(time.Second)-time.Second), 0)
}

// constrain puts name constraints as Vault is told them (RFC 5280, Section 4.2.1.10).
func constrain(body map[string]any, c ca.Constraints) {
	var uris, cidrs []string
	for _, td := range c.URI {
		uris = append(uris, td.String())
	}
	for _, p := range c.IP {
		cidrs = append(cidrs, p.String())
	}
	for name, list := range map[string][]string{"permitted_dns_domains": c.DNS, "permitted_uri_domains": uris,
		"permitted_ip_ranges": cidrs, "permitted_email_addresses": c.Email} {
		if len(list) > 0 {
			body[name] = strings.Join(list, ",")
		}
	}
}

// RequestCA has the mount make a key and gives its request. The key waits in the mount,
// and does not leave it.
func (a *Authority) RequestCA(ctx context.Context, spec ca.Spec, keyType ca.KeyType) ([]byte, error) {
	kind, bits := keyKind(keyType)
	got, err := a.client.write(ctx, a.path("intermediate", "generate", "internal"), map[string]any{
		"common_name": spec.CommonName, "key_type": kind, "key_bits": bits, "format": "pem",
		"exclude_cn_from_sans": true, "add_basic_constraints": false,
	})
	if err != nil {
		return nil, a.refused(ctx, err)
	}
	block, rest := pem.Decode([]byte(got.text("csr")))
	if block == nil || block.Type != pemfile.TypeRequest || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("%s: it gave no certificate request", a)
	}
	if _, err := ca.ParseCSR(block.Bytes); err != nil {
		return nil, fmt.Errorf("%s: the request that it gave: %w", a, err)
	}
	return block.Bytes, nil
}

// InstallCA gives the mount the certificate of the key that waits there, and the CAs
// over it.
func (a *Authority) InstallCA(ctx context.Context, chain ca.Chain) error {
	got, err := a.client.write(ctx, a.path("intermediate", "set-signed"), map[string]any{
		"certificate": string(pemfile.EncodeCertificates(slices.Clone([]*x509.Certificate(chain))...)),
	})
	if err != nil {
		return a.refused(ctx, err)
	}
	a.Refresh()
	mapping, _ := got.data["mapping"].(map[string]any)
	for _, key := range mapping {
		if s, ok := key.(string); ok && s != "" {
			return nil
		}
	}
	return fmt.Errorf("%s: it took the certificate and has no key for it", a)
}
