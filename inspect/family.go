package inspect

import (
	"crypto/x509"
	"slices"
)

// Found is an object, and the source that it was found in.
type Found struct {
	Source string
	Object Object
}

// Kin is a certificate among others: what it signed stands below it.
type Kin struct {
	Certificate *x509.Certificate
	Sources     []string // where it was found, each once
	KeySources  []string // where its private key was
	// Above is the name of its issuer (RFC 4514), where that was not found; "" for a
	// root and for whoever stands below another.
	Above string
	Below []*Kin
	CRLs  int // lists that it signed
}

// Family tells who signed whom over everything that was found, by signatures, and
// which private keys belong to whom. It gives those at the top: roots first, then those
// whose issuer is not there. A certificate that was found twice stands there once.
// Reports of the same objects, in their order, are told the issuers; they may be nil.
func Family(found []Found, reports []*Report) []*Kin {
	kin := map[string]*Kin{}
	var certs []*x509.Certificate
	keys := map[string][]string{}
	for _, f := range found {
		switch o := f.Object; {
		case o.Certificate != nil:
			k := kin[string(o.Certificate.Raw)]
			if k == nil {
				k = &Kin{Certificate: o.Certificate}
				kin[string(o.Certificate.Raw)] = k
				certs = append(certs, o.Certificate)
			}
			k.Sources = oneMore(k.Sources, f.Source)
		case o.Kind == KindKey && o.PublicKey != nil:
			der := keyDER(o.PublicKey)
			keys[der] = oneMore(keys[der], f.Source)
		}
	}
	s := newSigners(certs)
	above := make(map[*Kin]*Kin, len(certs))
	for _, c := range certs {
		k := kin[string(c.Raw)]
		if len(keys) > 0 {
			k.KeySources = keys[keyDER(c.PublicKey)]
		}
		if s.selfSigned(c) {
			continue
		}
		if issuer := s.issuerOf(c); issuer != nil {
			above[k] = kin[string(issuer.Raw)]
		} else {
			k.Above = nameOr(c.RawIssuer)
		}
	}
	for _, f := range found {
		if f.Object.CRL != nil {
			if c := s.crlIssuer(f.Object.CRL); c != nil {
				kin[string(c.Raw)].CRLs++
			}
		}
	}
	for i, r := range reports {
		if c := found[i].Object.Certificate; c != nil && r.Certificate != nil {
			if issuer := above[kin[string(c.Raw)]]; issuer != nil {
				r.Certificate.IssuedBy = fingerprint(issuer.Certificate.Raw)
			}
		}
	}
	return planted(certs, kin, above)
}

func oneMore(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// planted hangs each below its issuer. Two that signed each other would have no top:
// the first of a circle becomes one.
func planted(certs []*x509.Certificate, kin map[string]*Kin, above map[*Kin]*Kin) []*Kin {
	settled := map[*Kin]bool{}
	for _, c := range certs {
		seen := map[*Kin]bool{}
		k := kin[string(c.Raw)]
		for at := k; at != nil && !settled[at]; at = above[at] {
			if seen[at] {
				delete(above, at)
				break
			}
			seen[at] = true
		}
		for at := range seen {
			settled[at] = true
		}
	}
	var roots, others []*Kin
	for _, c := range certs {
		k := kin[string(c.Raw)]
		switch parent := above[k]; {
		case parent != nil:
			parent.Below = append(parent.Below, k)
		case k.Above == "":
			roots = append(roots, k)
		default:
			others = append(others, k)
		}
	}
	return append(roots, others...)
}
