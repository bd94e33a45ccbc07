package renew

import (
	"crypto/x509"
	"testing"
	"time"
)

// TestChainEnds goes up the chain, whatever else stands in the file.
func TestChainEnds(t *testing.T) {
	cert := func(subject, issuer, key, by string, isCA bool, days int) *x509.Certificate {
		return &x509.Certificate{RawSubject: []byte(subject), RawIssuer: []byte(issuer), SubjectKeyId: []byte(key), AuthorityKeyId: []byte(by),
			IsCA: isCA, NotAfter: from.Add(time.Duration(days) * day)}
	}
	leaf, ca, above := cert("leaf", "ca", "1", "2", false, 30), cert("ca", "root", "2", "3", true, 20), cert("root", "root", "3", "3", true, 10)
	for _, test := range []struct {
		name  string
		chain []*x509.Certificate
		want  int // days; 0 for unknown
	}{
		{"a leaf alone", []*x509.Certificate{leaf}, 0},
		{"with its issuer", []*x509.Certificate{leaf, ca}, 20},
		{"with its root", []*x509.Certificate{leaf, ca, above}, 10},
		{"in another order", []*x509.Certificate{leaf, above, ca}, 10},
		{"with a stranger", []*x509.Certificate{leaf, cert("other", "root", "9", "3", true, 1)}, 0},
		{"with another of its issuer's name", []*x509.Certificate{leaf, ca, cert("ca", "root", "9", "3", true, 1)}, 20},
		{"with another leaf of its issuer's name", []*x509.Certificate{leaf, ca, cert("ca", "root", "2", "3", false, 1)}, 20},
		{"cross-signed: the longer life", []*x509.Certificate{leaf, cert("ca", "old", "2", "4", true, 5), ca}, 20},
		{"without key identifiers", []*x509.Certificate{cert("leaf", "ca", "", "", false, 30), cert("ca", "root", "", "", true, 7)}, 7},
		{"in a circle", []*x509.Certificate{leaf, ca, cert("root", "ca", "3", "2", true, 15)}, 15},
		{"none", nil, 0},
	} {
		want := time.Time{}
		if test.want > 0 {
			want = from.Add(time.Duration(test.want) * day)
		}
		if got := ChainEnds(test.chain); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", test.name, got, want)
		}
	}
	if got := Ends([]*x509.Certificate{leaf, ca}); !got.Equal(ca.NotAfter) {
		t.Errorf("it ends on %s", got)
	}
	if got := Ends([]*x509.Certificate{leaf}); !got.Equal(leaf.NotAfter) {
		t.Errorf("alone it ends on %s", got)
	}
}
