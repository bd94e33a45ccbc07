package acme

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

type pkixExtension = pkix.Extension

// plain is an authority that asks the server, its state in a directory.
func (s *server) plain(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := open(s.url("directory"), backends.Options{Dir: filepath.Join(dir, "pki"), Now: s.now, Settings: &backends.ACME{
		CACert: filepath.Join(dir, "tls.pem"), Roots: filepath.Join(dir, "roots.pem"), HTTPListen: s.httpAt,
	}})
	if err != nil {
		t.Fatal(err)
	}
	a.poll = 5 * time.Millisecond
	return a
}

func (s *server) order(w http.ResponseWriter, account *accountOf, payload []byte) {
	var want struct {
		Identifiers       []identifierDocument
		NotAfter          *time.Time
		Profile, Replaces string
	}
	_ = json.Unmarshal(payload, &want)
	switch {
	case want.NotAfter != nil && s.ownEnd:
		s.refuse(w, &problemDocument{Type: "malformed", Detail: "notBefore and notAfter are not supported", Status: http.StatusBadRequest})
		return
	case want.Replaces != "" && s.alreadyTaken:
		s.refuse(w, &problemDocument{Type: "alreadyReplaced", Detail: "it has been replaced", Status: http.StatusConflict})
		return
	}
	o := &orderOf{number: len(s.orders) + 1, owner: account, identifiers: want.Identifiers, notAfter: want.NotAfter, profile: want.Profile, replaces: want.Replaces}
	for i, id := range want.Identifiers {
		z := &authzOf{identifier: id, token: fmt.Sprintf("token-%d-%d_%x", o.number, i, s.nonce()), status: "pending"}
		z.identifier.Value, z.wildcard = strings.CutPrefix(id.Value, "*.")
		if s.proved[id.Value] {
			z.status = "valid"
		}
		o.authz = append(o.authz, z)
	}
	s.orders = append(s.orders, o)
	w.Header().Set("Location", s.url(fmt.Sprintf("orders/%d", o.number)))
	s.answer(w, http.StatusCreated, s.orderDocument(o))
}

func (o *orderOf) status() string {
	if o.chain != nil {
		return "valid"
	}
	status := "ready"
	for _, z := range o.authz {
		switch z.status {
		case "invalid":
			return "invalid"
		case "pending":
			status = "pending"
		}
	}
	if o.invalid {
		return "invalid"
	}
	return status
}

func (s *server) orderDocument(o *orderOf) map[string]any {
	var authz []string
	for i := range o.authz {
		authz = append(authz, s.url(fmt.Sprintf("authz/%d/%d", o.number, i)))
	}
	d := map[string]any{"status": o.status(), "identifiers": o.identifiers, "authorizations": authz, "finalize": s.url(fmt.Sprintf("finalize/%d", o.number))}
	if o.chain != nil {
		d["certificate"] = s.url(fmt.Sprintf("certificate/%d", o.number))
	}
	return d
}

// resource is what belongs to one order.
func (s *server) resource(w http.ResponseWriter, account *accountOf, kind, rest string, payload []byte) {
	number, which, _ := strings.Cut(rest, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(s.orders) || s.orders[n-1].owner != account {
		s.refuse(w, &problemDocument{Type: "malformed", Detail: "no such order", Status: http.StatusNotFound})
		return
	}
	o := s.orders[n-1]
	switch kind {
	case "orders":
		s.answer(w, http.StatusOK, s.orderDocument(o))
	case "finalize":
		s.finalize(w, o, payload)
	case "certificate":
		s.certificate(w, o, which)
	default:
		index, typ, _ := strings.Cut(which, "/")
		i, _ := strconv.Atoi(index)
		s.authz(w, o, o.authz[i], i, kind, typ)
	}
}

func (s *server) authz(w http.ResponseWriter, o *orderOf, z *authzOf, i int, kind, typ string) {
	if kind == "challenge" {
		if z.status == "pending" && z.chosen == "" {
			z.chosen = typ
			z.problem = s.look(z, typ, o.owner)
		}
		s.answer(w, http.StatusOK, map[string]any{"type": typ, "token": z.token, "status": "processing", "url": s.url(fmt.Sprintf("challenge/%d/%d/%s", o.number, i, typ))})
		return
	}
	if z.looked++; z.chosen != "" && z.status == "pending" && z.looked > s.polls {
		z.status = "valid"
		if z.problem != nil {
			z.status = "invalid"
		}
		s.proved[z.identifier.Value] = z.status == "valid" && !z.wildcard
	}
	var challenges []map[string]any
	for _, offered := range s.offers {
		c := map[string]any{"type": offered, "token": z.token, "status": "pending", "url": s.url(fmt.Sprintf("challenge/%d/%d/%s", o.number, i, offered))}
		if z.chosen == offered {
			c["status"] = "processing"
			if z.problem != nil && z.status == "invalid" {
				c["status"] = "invalid"
				c["error"] = map[string]any{"type": "urn:ietf:params:acme:error:" + z.problem.Type, "detail": z.problem.Detail, "status": z.problem.Status}
			}
		}
		challenges = append(challenges, c)
	}
	s.answer(w, http.StatusOK, map[string]any{"status": z.status, "identifier": z.identifier, "wildcard": z.wildcard, "challenges": challenges})
}

func (s *server) finalize(w http.ResponseWriter, o *orderOf, payload []byte) {
	bad := func(kind, detail string) {
		s.refuse(w, &problemDocument{Type: kind, Detail: detail, Status: http.StatusForbidden})
	}
	if o.status() != "ready" {
		bad("orderNotReady", "it is "+o.status())
		return
	}
	var body struct{ CSR string }
	_ = json.Unmarshal(payload, &body)
	der, _ := base64.RawURLEncoding.DecodeString(body.CSR)
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || len(csr.DNSNames)+len(csr.IPAddresses) != len(o.identifiers) {
		bad("badCSR", "its names are not those of the order")
		return
	}
	names := ca.Names{DNS: csr.DNSNames}
	for _, ip := range csr.IPAddresses {
		names.IP = append(names.IP, ip.String())
	}
	if s.commonNames {
		names.Subject = ca.CommonNameOnly(csr.DNSNames[0])
	}
	identity, err := ca.NewIdentity(names)
	if err != nil {
		bad("badCSR", err.Error())
		return
	}
	end := start.Add(90 * 24 * time.Hour)
	if o.notAfter != nil {
		end = *o.notAfter
	}
	profile, _ := ca.ProfileByName("workload")
	o.chain, err = s.issuer.Issue(s.t.Context(), ca.Request{CSR: der, Identity: identity, Profile: profile, Validity: ca.Validity{NotAfter: end}})
	if err != nil {
		bad("badCSR", err.Error())
		return
	}
	s.answer(w, http.StatusOK, s.orderDocument(o))
}

func (s *server) certificate(w http.ResponseWriter, o *orderOf, which string) {
	chain := slices.Clone(o.chain)
	if which == "other" {
		chain = append(chain[:1:1], s.other.Certificate)
	} else if s.other != nil {
		w.Header().Add("Link", fmt.Sprintf(`<%s>;rel="alternate"`, s.url(fmt.Sprintf("certificate/%d/other", o.number))))
	}
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	_, _ = w.Write(pemfile.EncodeCertificates(chain...))
}

// count counts the requests for what begins so.
func (s *server) count(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.seen {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}
