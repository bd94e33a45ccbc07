package command

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// An authority elsewhere makes the certificates of a probe, but none that has expired;
// the ledger knows them.
func TestElsewhereProbes(t *testing.T) {
	e := newElsewhere(t)
	e.must(codeDone, "issue", "--service", "payment", "--backend", "far:away") // the roots are those of one authority
	roots, err := e.remote.Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for _, r := range roots {
		pool.AddCert(r)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, Time: func() time.Time { return e.now }}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	before := e.signed
	said := strings.Join(strings.Fields(e.must(codeDone, "probe", server.Listener.Addr().String(), "--mint", "--backend", "far:away")), " ")
	for _, want := range []string{"no certificate refused", "unknown authority refused", "expired certificate not tried", "wrong identity ACCEPTED", "right certificate accepted"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
	if e.signed != before+2 {
		t.Errorf("%d were signed, want 2", e.signed-before)
	}
	if said := e.must(codeDone, "log", "show", "--json"); strings.Count(said, `"note": "probe"`) != 2 {
		t.Errorf("the ledger says\n%s", said)
	}
	if said := e.must(codeDone, "log", "show", "--pending", "--json"); strings.Contains(said, "meshpki/probe") || strings.Contains(said, `"probe"`) {
		t.Errorf("something is pending:\n%s", said)
	}
	e.must(codeUsage, "probe", server.Listener.Addr().String(), "--backend", "far:away")
	e.must(codeUsage, "probe", server.Listener.Addr().String(), "--mint", "--backend", "nowhere:at-all")
}
