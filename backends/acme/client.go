package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// Bounds of what a server may do to us.
const (
	mostAnswer  = 1 << 20          // bytes of one answer
	answerTime  = 30 * time.Second // until an answer begins
	requestTime = time.Minute      // until it has ended
	pollEvery   = 250 * time.Millisecond
)

var errLong = errors.New("the answer is longer than 1 MiB")

// bounded reads no more of an answer than a server may need.
type bounded struct{ under http.RoundTripper }

// unasked is the key of a context under which renewal information below a URL is not
// asked for: acmez does so with every chain that it fetches, three times over seven
// seconds where none comes. It is asked for where it is needed, and remembered.
type unasked struct{}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if below, ok := r.Context().Value(unasked{}).(string); ok && r.Method == http.MethodGet && strings.HasPrefix(r.URL.String(), below) {
		const none = `{"suggestedWindow":{"start":"2000-01-01T00:00:00Z","end":"2000-01-02T00:00:00Z"}}`
		return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(none)), ContentLength: int64(len(none))}, nil
	}
	resp, err := b.under.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: mostAnswer}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// newClient is a client that trusts the server by the roots that are configured.
func (a *Authority) newClient() (*acme.Client, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: answerTime, ResponseHeaderTimeout: answerTime,
		IdleConnTimeout: requestTime, MaxIdleConnsPerHost: 16, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if a.settings.CACert != "" {
		roots, err := readCertificates(a.settings.CACert)
		if err != nil {
			return nil, fmt.Errorf("the roots that the server is trusted by: %w", err)
		}
		pool := x509.NewCertPool()
		for _, r := range roots {
			pool.AddCert(r)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &acme.Client{
		Directory: a.directory, UserAgent: "meshpki", PollInterval: a.poll, PollTimeout: mostTime,
		HTTPClient: &http.Client{Transport: bounded{transport}, Timeout: requestTime, CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Scheme != via[0].URL.Scheme || len(via) > 5 {
				return http.ErrUseLastResponse
			}
			return nil
		}},
	}, nil
}

// readCertificates reads the certificates of a PEM file: one at least.
func readCertificates(name string) ([]*x509.Certificate, error) {
	data, err := pemfile.ReadFile(name)
	if err != nil {
		return nil, err
	}
	certs, err := parseChain(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return certs, nil
}

// connect gives the client, and what the server's directory says. The caller has the turn.
func (a *Authority) connect(ctx context.Context) (acme.Directory, error) {
	if a.client == nil {
		client, err := a.newClient()
		if err != nil {
			return acme.Directory{}, err
		}
		a.client = client
	}
	directory, err := a.client.GetDirectory(ctx)
	if err != nil {
		return acme.Directory{}, a.said("read the directory of the ACME server", err)
	}
	return directory, nil
}

// take waits for the turn; what it gives hands it back.
func (a *Authority) take(ctx context.Context) (release func(), err error) {
	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
