package command

import (
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/renew"
)

// A certificate whose issuer ends before it is due by its issuer's end.
func TestStateCountsToTheShortestEnd(t *testing.T) {
	begins := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	leaf := &x509.Certificate{RawSubject: []byte("leaf"), RawIssuer: []byte("ca"), SerialNumber: big.NewInt(1), NotBefore: begins, NotAfter: begins.AddDate(0, 0, 30)}
	issuer := &x509.Certificate{RawSubject: []byte("ca"), RawIssuer: []byte("root"), SerialNumber: big.NewInt(2), IsCA: true, NotBefore: begins, NotAfter: begins.AddDate(0, 0, 10)}
	now := begins.AddDate(0, 0, 7)
	if d := renew.Decide(stateOf([]*x509.Certificate{leaf}, ca.Revoked{}), renew.Policy{}, now); d.Outcome != renew.Fresh {
		t.Errorf("alone it is %s, for %q", d.Outcome, d.Reason)
	}
	d := renew.Decide(stateOf([]*x509.Certificate{leaf, issuer}, ca.Revoked{}), renew.Policy{}, now)
	if d.Outcome != renew.Renew || d.Check != "shorter" || !d.Ends.Equal(issuer.NotAfter) {
		t.Errorf("with its issuer it is %s, for %q", d.Outcome, d.Reason)
	}
}
