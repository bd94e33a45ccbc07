package renew

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// HTTP is a step that requests a URL. It is done when the answer is of class 2xx.
type HTTP struct {
	URL    string // http:// or https://
	Method string // POST or GET; "" is POST
	// Roots is a PEM file of the roots to trust for https; "" stands for the system's.
	Roots string
	// Proxy has the proxies of meshpki's environment used, which otherwise have no say.
	Proxy bool
}

func (h *HTTP) method() string {
	if h.Method == "" {
		return http.MethodPost
	}
	return h.Method
}

func (h *HTTP) validate() error {
	u, err := url.Parse(h.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return errors.New("the URL of an http step begins with https:// or http:// and a host")
	case u.User != nil:
		return errors.New("the URL of an http step has a user or a password in it")
	case !slices.Contains([]string{http.MethodPost, http.MethodGet}, h.method()):
		return fmt.Errorf("%q is no method of an http step: POST and GET are", h.Method)
	case h.Roots != "" && u.Scheme != "https":
		return errors.New("roots are for https")
	}
	return nil
}

// request asks once. It gives the beginning of the answer's body.
func (h *HTTP) request(ctx context.Context) ([]byte, error) {
	said := func(err error) error {
		// The client's own error repeats the URL.
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%s %s: %w", h.method(), h.URL, err)
	}
	client, err := h.client()
	if err != nil {
		return nil, said(err)
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, h.method(), h.URL, nil)
	if err != nil {
		return nil, said(err)
	}
	req.Header.Set("User-Agent", "meshpki")
	answer, err := client.Do(req)
	if err != nil {
		return nil, said(err)
	}
	defer answer.Body.Close()
	body, err := readSome(answer.Body)
	switch {
	case answer.StatusCode/100 != 2:
		return body, saying(said(fmt.Errorf("the answer is %d, and not 2xx", answer.StatusCode)), body)
	case err != nil:
		return body, said(err)
	}
	return body, nil
}

func (h *HTTP) client() (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: OutputLimit, ForceAttemptHTTP2: true}
	if h.Proxy {
		transport.Proxy = http.ProxyFromEnvironment
	}
	if h.Roots != "" {
		text, err := os.ReadFile(h.Roots)
		if err != nil {
			return nil, fmt.Errorf("reading its roots: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", h.Roots)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, CheckRedirect: sameHost}, nil
}

// sameHost follows a few redirects to where the request went anyway. Another host
// was not named by whoever wrote the manifest.
func sameHost(next *http.Request, before []*http.Request) error {
	const most = 5
	first := before[0].URL
	switch {
	case len(before) > most:
		return fmt.Errorf("more than %d redirects", most)
	case !strings.EqualFold(next.URL.Host, first.Host) || next.URL.Scheme != first.Scheme:
		return fmt.Errorf("it redirects to %s://%s, which is not followed", next.URL.Scheme, next.URL.Host)
	}
	return nil
}
