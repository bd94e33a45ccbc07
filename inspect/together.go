package inspect

import (
	"crypto"
	"crypto/x509"
	"time"
)

// DescribeAll describes the objects of one source, and what they are to each
// other: which certificate issued which, and which key belongs to which. Where
// thousands have the same name, some relations may stay untold.
func DescribeAll(source string, objects []Object, now time.Time) []Report {
	certs := Certificates(objects)
	s := newSigners(certs)
	reports := make([]Report, len(objects))
	place := make(map[*x509.Certificate]int, len(certs))
	for i, o := range objects {
		reports[i] = describe(source, o, now, s)
		if o.Certificate != nil {
			place[o.Certificate] = o.Index
		}
	}
	for i, o := range objects {
		switch {
		case o.Certificate != nil && !reports[i].Certificate.SelfSigned:
			reports[i].Certificate.IssuedByIndex = place[s.issuerOf(o.Certificate)]
		case o.CRL != nil:
			reports[i].CRL.IssuedByIndex = place[s.crlIssuer(o.CRL)]
		}
	}
	pairKeys(objects, reports)
	return reports
}

// crlIssuer finds the certificate whose key signed the list, or nil.
func (s *signers) crlIssuer(l *x509.RevocationList) *x509.Certificate {
	list := s.named[string(l.RawIssuer)]
	for _, c := range list[:min(likelyTries, len(list))] {
		s.budget -= checkCost(c.PublicKey)
		if s.budget >= 0 && usableKey(c.PublicKey) && c.CheckSignature(l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature) == nil {
			return c
		}
	}
	return nil
}

// pairKeys tells each private key its certificates and requests, and them their key.
func pairKeys(objects []Object, reports []Report) {
	keys := map[string]int{} // place of a private key, by its public half
	for i, o := range objects {
		if o.Kind == KindKey && o.PublicKey != nil {
			if _, twice := keys[keyDER(o.PublicKey)]; !twice {
				keys[keyDER(o.PublicKey)] = i
			}
		}
	}
	if len(keys) == 0 {
		return
	}
	for i, o := range objects {
		var pub crypto.PublicKey
		var tell *int
		switch {
		case o.Certificate != nil:
			pub, tell = o.Certificate.PublicKey, &reports[i].Certificate.PrivateKeyIndex
		case o.Request != nil:
			pub, tell = o.Request.PublicKey, &reports[i].Request.PrivateKeyIndex
		default:
			continue
		}
		if k, ok := keys[keyDER(pub)]; ok {
			*tell = objects[k].Index
			facts := reports[k].PrivateKey
			facts.CertificateIndexes = append(facts.CertificateIndexes, o.Index)
		}
	}
}

// keyDER is a public key in the one form in which it can be compared: the same
// key may stand in a certificate in several.
func keyDER(pub crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return ""
	}
	return string(der)
}
