package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// serve MODE DIRECTORY starts a server with the tls.crt and tls.key of a directory, and
// puts its address into $SERVER. Clients are judged by its ca.crt, at the time of the
// scripts. The modes: open asks for no certificate, optional asks and takes any or none,
// any takes any but not none, strict demands one of the CA, identity demands the SPIFFE
// ID of account, late answers like nginx, with HTTP 400 after the handshake; mute is
// strict and speaks no HTTP. With -12 behind it the server speaks TLS 1.2 and no other.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve mode directory")
	}
	ts.Setenv("SERVER", startServer(ts, args[0], ts.MkAbs(args[1])))
}

// serveExample is the server that examples name.
func serveExample(ts *testscript.TestScript) string {
	return startServer(ts, "strict", ts.MkAbs(filepath.Join("pki", "services", "default", "payment")))
}

func startServer(ts *testscript.TestScript, mode, dir string) string {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	ts.Check(err)
	roots := x509.NewCertPool()
	for _, c := range certificatesIn(ts, filepath.Join(dir, "ca.crt")) {
		roots.AddCert(c)
	}
	now := func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }
	config := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: roots, Time: now}
	if len(mode) > 3 && mode[len(mode)-3:] == "-12" {
		mode, config.MaxVersion = mode[:len(mode)-3], tls.VersionTLS12
	}
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	switch mode {
	case "open":
		config.ClientCAs = nil
	case "optional":
		config.ClientAuth = tls.RequestClientCert
	case "any":
		config.ClientAuth = tls.RequireAnyClientCert
	case "strict", "mute":
		config.ClientAuth = tls.RequireAndVerifyClientCert
	case "identity":
		config.ClientAuth = tls.RequireAndVerifyClientCert
		handler = func(w http.ResponseWriter, r *http.Request) {
			if r.TLS.PeerCertificates[0].URIs[0].Path != "/ns/default/sa/account" {
				http.Error(w, "not you", http.StatusForbidden)
			}
		}
	case "late":
		config.ClientAuth = tls.RequestClientCert
		handler = func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) > 0 {
				between := x509.NewCertPool()
				for _, c := range r.TLS.PeerCertificates[1:] {
					between.AddCert(c)
				}
				if _, err := r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now(),
					KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
					return
				}
			}
			http.Error(w, "No required SSL certificate was sent", http.StatusBadRequest)
		}
	default:
		ts.Fatalf("serve: no mode %q", mode)
	}
	if mode == "mute" {
		return mute(ts, config)
	}
	s := httptest.NewUnstartedServer(handler)
	s.TLS, s.Config.ErrorLog = config, log.New(io.Discard, "", 0)
	s.StartTLS()
	ts.Defer(s.Close)
	return s.Listener.Addr().String()
}

// mute makes the handshake, reads, and says nothing.
func mute(ts *testscript.TestScript, config *tls.Config) string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
			}(conn)
		}
	}()
	return l.Addr().String()
}
