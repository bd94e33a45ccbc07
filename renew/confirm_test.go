package renew

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// served is a certificate that signs itself, for those names, and its fingerprint.
func served(t *testing.T, names ...string) (*tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(30 * day), DNSNames: names, Subject: pkix.Name{CommonName: "by its\x1bcommon name"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, hex.EncodeToString(sum[:])
}

// serve gives each connection, counted from 1, a certificate.
func serve(t *testing.T, config *tls.Config, certificate func(n int64) *tls.Certificate) (address string, connections *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	connections = &atomic.Int64{}
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return certificate(connections.Load()), nil
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go func() {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, tls.Server(conn, config))
			}()
		}
	}()
	return l.Addr().String(), connections
}

func TestConfirm(t *testing.T) {
	old, _ := served(t, "payment.prod", "payment.prod.svc", "c")
	fresh, want := served(t, "payment.prod")
	always := func(c *tls.Certificate) func(int64) *tls.Certificate {
		return func(int64) *tls.Certificate { return c }
	}
	atThird := func(n int64) *tls.Certificate {
		if n == 3 {
			return old
		}
		return fresh
	}
	demands := &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}
	older := &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: tls.VersionTLS12}
	for _, test := range []struct {
		name        string
		config      *tls.Config
		certificate func(int64) *tls.Certificate
		answers     int
		connections int64
		err         string // its end; "" is none
	}{
		{"new", &tls.Config{}, always(fresh), 0, 1, ""},
		{"three times", &tls.Config{}, always(fresh), 3, 3, ""},
		{"old", &tls.Config{}, always(old), 3, 1, " for payment.prod, payment.prod.svc (+1), until 2026-12-21 12:00 UTC; " + short(want) + " is expected"},
		{"old at the third", &tls.Config{}, atThird, 5, 3, short(want) + " is expected"},
		{"client certificates", demands, always(fresh), 2, 2, ""},
		{"client certificates in TLS 1.2", older, always(fresh), 2, 2, ""},
		{"client certificates, old", older.Clone(), always(old), 2, 1, short(want) + " is expected"},
	} {
		t.Run(test.name, func(t *testing.T) {
			at, connections := serve(t, test.config, test.certificate)
			c := Confirm{Endpoint: at, Answers: test.answers}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			err := c.Check(t.Context(), want)
			if (err == nil) != (test.err == "") || err != nil && !strings.HasSuffix(err.Error(), test.err) {
				t.Errorf("%v; want …%s", err, test.err)
			}
			if n := connections.Load(); n != test.connections {
				t.Errorf("%d connections, want %d", n, test.connections)
			}
			if test.name == "old at the third" && !strings.HasPrefix(err.Error(), "answer 3 of 5: tls://127.0.0.1:") {
				t.Error(err)
			}
		})
	}
}

// TestConfirmHostile: what a server calls itself does not reach a terminal as it is.
func TestConfirmHostile(t *testing.T) {
	nameless, _ := served(t)
	at, _ := serve(t, &tls.Config{}, func(int64) *tls.Certificate { return nameless })
	err := Confirm{Endpoint: at}.Check(t.Context(), "00")
	if err == nil || !strings.Contains(err.Error(), `for by its\x1bcommon name, until`) || !strings.HasSuffix(err.Error(), `"00" is expected`) {
		t.Error(err)
	}
}

func TestConfirmValidate(t *testing.T) {
	for _, c := range []Confirm{{}, {Endpoint: "a"}, {Endpoint: "a:1", Answers: -1}, {Endpoint: "a:1", Answers: mostAnswers + 1}} {
		if c.Validate() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
