package renew

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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

// TestConfirmSettles: what is served a moment after the reload is enough.
func TestConfirmSettles(t *testing.T) {
	old, _ := served(t, "a")
	fresh, want := served(t, "a")
	at, connections := serve(t, &tls.Config{}, func(n int64) *tls.Certificate {
		if n < 3 {
			return old
		}
		return fresh
	})
	if err := (Confirm{Endpoint: at, Answers: 2, Settle: time.Minute}).Check(t.Context(), want); err != nil || connections.Load() != 4 {
		t.Errorf("%v after %d connections; want none after 4", err, connections.Load())
	}
}

// TestConfirmGivesUp looks on for as long as it was told, and no longer.
func TestConfirmGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for settle, want := range map[time.Duration]int{0: 1, time.Second: 6, 5 * time.Second: 10} {
			looks, start := 0, time.Now()
			c := Confirm{Endpoint: "a:1", Settle: settle, Dial: func(context.Context, string, string) (net.Conn, error) {
				looks++
				return nil, errors.New("nobody is there")
			}}
			err := c.Check(t.Context(), "00")
			if took := time.Since(start); err == nil || took != settle || looks < want-1 || looks > want {
				t.Errorf("%s: %v after %s and %d looks; want %d", settle, err, took, looks, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		hangs := Confirm{Endpoint: "a:1", Settle: time.Minute, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		if err := hangs.Check(ctx, "00"); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
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
