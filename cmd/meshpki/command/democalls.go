package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"log"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/guard"
)

// nowhere is a ledger that keeps nothing, for authorities that live as long as a call.
type nowhere struct{}

func (nowhere) Record(context.Context, ca.Entry) error { return nil }
func (nowhere) Entries(context.Context) iter.Seq2[ca.Entry, error] {
	return func(func(ca.Entry, error) bool) {}
}
func (nowhere) Revoked(context.Context) (r ca.Revoked, err error) { return r, nil }

// demoService is a service with its credential, its server and its client.
type demoService struct {
	name    string
	cert    tls.Certificate
	address string
	server  *http.Server
	arrived chan string
}

// start serves a service on a free port of the loopback address.
func (d *demo) start(ctx context.Context, name string, i *issued) (*demoService, error) {
	s := &demoService{name: name, arrived: make(chan string, 4)}
	s.cert.PrivateKey = i.key
	for _, c := range i.chain {
		s.cert.Certificate = append(s.cert.Certificate, c.Raw)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.address = listener.Addr().String()
	s.server = &http.Server{
		Handler:           d.handler(s),
		ReadHeaderTimeout: 5 * time.Second,
		// What a server says of a refused handshake, the caller is told too.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	tlsListener := tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{s.cert},
		ClientCAs:    d.roots,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS13,
		Time:         d.c.env.Now,
	})
	guard.Go(func(fault any) { s.arrived <- fmt.Sprint(fault) }, func() { _ = s.server.Serve(tlsListener) })
	return s, nil
}

// handler is what a service does: account takes transactions from payment and
// sends a receipt back; payment takes receipts from account.
func (d *demo) handler(s *demoService) http.Handler {
	mux := http.NewServeMux()
	only := map[string]string{"account": "payment", "payment": "account"}[s.name]
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		caller := r.TLS.PeerCertificates[0].URIs[0].String()
		if caller != workloadID(only) {
			http.Error(w, fmt.Sprintf("%s may not call %s", path.Base(caller), s.name), http.StatusForbidden)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		s.arrived <- string(body)
		if s.name == "account" {
			if err := d.send(r.Context(), s.cert, d.payment, d.payment.name, "receipt for "+string(body)); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		}
	})
	return mux
}

func workloadID(service string) string {
	return "spiffe://cluster.local/ns/default/sa/" + service
}

// send posts a message to a service with a credential, and takes the server only
// for the service that was asked for.
func (d *demo) send(ctx context.Context, cert tls.Certificate, to *demoService, name, message string) error {
	config := &tls.Config{RootCAs: d.roots, ServerName: name + ".default.svc", MinVersion: tls.VersionTLS13, Time: d.c.env.Now}
	// Through GetClientCertificate a certificate is sent even where the server's list
	// of authorities does not ask for it: the point may be to be refused.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if id := state.PeerCertificates[0].URIs[0].String(); id != workloadID(name) {
			return fmt.Errorf("the server is %s", id)
		}
		return nil
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, Proxy: nil}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+to.address+"/", bytes.NewReader([]byte(message)))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d: %s", response.StatusCode, strings.TrimSpace(string(body)))
	}
	return nil
}

// calls makes the call that must work, and those that must not.
func (d *demo) calls(ctx context.Context) ([]ui.DemoCall, error) {
	const transaction = "transaction 42: 17.50 EUR"
	out := []ui.DemoCall{{What: "payment calls account", Wanted: true}}
	if err := d.send(ctx, d.payment.cert, d.account, "account", transaction); err != nil {
		out[0].Reason = plainReason(err)
		return out, nil
	}
	select {
	case got := <-d.account.arrived:
		out[0].Accepted, out[0].Reason = got == transaction, "account has "+got
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-d.payment.arrived:
		out = append(out, ui.DemoCall{What: "account calls payment", Wanted: true, Accepted: true, Reason: "payment has the receipt"})
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for _, attempt := range []struct {
		what string
		cert func(context.Context) (*tls.Certificate, error)
		to   *demoService
	}{
		{"no certificate", func(context.Context) (*tls.Certificate, error) { return &tls.Certificate{}, nil }, d.account},
		{"a stranger's certificate", d.stranger, d.account},
		{"an expired certificate", d.expired, d.account},
		{"a service not allowed", func(ctx context.Context) (*tls.Certificate, error) { return d.member(ctx, "reporting") }, d.account},
		{"not the server asked for", func(context.Context) (*tls.Certificate, error) { return &d.payment.cert, nil }, d.payment},
	} {
		cert, err := attempt.cert(ctx)
		if err != nil {
			return nil, err
		}
		err = d.send(ctx, *cert, attempt.to, "account", transaction)
		call := ui.DemoCall{What: attempt.what, Accepted: err == nil}
		if err != nil {
			call.Reason = plainReason(err)
		}
		out = append(out, call)
	}
	return out, nil
}

// plainReason says a TLS or HTTP refusal in words.
func plainReason(err error) string {
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return strings.TrimPrefix(alert.Error(), "tls: ")
	}
	if h, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server is " + strings.Join(h.Certificate.DNSNames[:min(1, len(h.Certificate.DNSNames))], "")
	}
	text := err.Error()
	for _, mark := range []string{"remote error: tls: ", "HTTP 403: ", "\": "} {
		if _, after, ok := strings.Cut(text, mark); ok {
			text = after
		}
	}
	return text
}

// close stops the servers.
func (d *demo) close() {
	for _, s := range []*demoService{d.payment, d.account} {
		if s != nil {
			_ = s.server.Close()
		}
	}
}
