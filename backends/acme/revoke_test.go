package acme

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/ca"
)

// revoke is the server's part (RFC 8555, Section 7.6).
func (s *server) revoke(w http.ResponseWriter, account *accountOf, payload []byte) {
	bad := func(kind, detail string, status int) {
		s.refuse(w, &problemDocument{Type: kind, Detail: detail, Status: status})
	}
	var body struct {
		Certificate string
		Reason      int
	}
	_ = json.Unmarshal(payload, &body)
	der, _ := base64.RawURLEncoding.DecodeString(body.Certificate)
	for _, o := range s.orders {
		switch {
		case o.chain == nil || string(o.chain[0].Raw) != string(der):
			continue
		case o.owner != account:
			bad("unauthorized", "it is another's", http.StatusForbidden)
		case o.revoked != nil:
			bad("alreadyRevoked", "it is revoked", http.StatusBadRequest)
		case body.Reason == int(ca.CACompromise):
			bad("badRevocationReason", "it is no CA", http.StatusBadRequest)
		default:
			o.revoked = &body.Reason
			w.WriteHeader(http.StatusOK)
		}
		return
	}
	bad("malformed", "no such certificate", http.StatusNotFound)
}

// A certificate is revoked by the account that ordered it, with the reason, past nonces
// that are refused; what cannot be is told in the server's words.
func TestRevoke(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.authority(t, nil)
	leaf := want(t, a, order(t, "payment.example.com")).Leaf()
	if err := a.RevokeCertificate(t.Context(), leaf, ca.CACompromise); err == nil || !strings.Contains(err.Error(), "badRevocationReason: it is no CA (RFC 8555, Section 7.6)") {
		t.Errorf("a reason that it does not take: error %v", err)
	}
	s.badNonces = 2
	if err := a.RevokeCertificate(t.Context(), leaf, ca.KeyCompromise); err != nil || *s.orders[0].revoked != 1 {
		t.Errorf("error %v", err)
	}
	if err := a.RevokeCertificate(t.Context(), leaf, ca.KeyCompromise); !errors.Is(err, ca.ErrRevoked) {
		t.Errorf("again: error %v", err)
	}
	refused := func(what string, by *Authority, says string) {
		t.Helper()
		err := by.RevokeCertificate(t.Context(), leaf, ca.Unspecified)
		if _, ok := ca.IsRefusal(err); !ok || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want %q", what, err, says)
		}
	}
	other := s.authority(t, nil)
	refused("nobody's", other, "there is no account")
	if len(s.accounts) != 1 {
		t.Error("an account was made to revoke with")
	}
	want(t, other, order(t, "payment.example.com"))
	refused("another's", other, "it was ordered by another account: it is another's")
	s.problem = func(string) *problemDocument { return &problemDocument{"serverInternal", "broken", 500, ""} }
	if err := a.RevokeCertificate(t.Context(), leaf, ca.Unspecified); !errors.Is(err, ca.ErrAway) {
		t.Errorf("a server that is away: error %v", err)
	}
	keeper := newServer(t)
	keeper.keepsAll = true
	refused("one that keeps all", keeper.authority(t, func(o *Authority) { o.settings.AccountKeyFile = other.keyPath() }), "revokes nothing")
	// What cannot be read is no account of another's.
	if err := os.WriteFile(other.keyPath(), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := s.authority(t, func(o *Authority) { o.options.Dir = other.options.Dir })
	s.problem = nil
	if err := again.RevokeCertificate(t.Context(), leaf, ca.Unspecified); err == nil || !strings.Contains(err.Error(), "the account's key") {
		t.Errorf("a key that is none: error %v", err)
	}
}
