package backends_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// registry says what it was asked for by an error, or by the name of a store.
func registry() *backends.Registry {
	authority := func(scheme string) func(context.Context, string, backends.Options) (ca.Authority, error) {
		return func(_ context.Context, rest string, o backends.Options) (ca.Authority, error) {
			return nil, errors.New(scheme + " got " + rest + " in " + o.Dir)
		}
	}
	store := func(scheme string) func(string, backends.Options) (issue.Store, error) {
		return func(rest string, o backends.Options) (issue.Store, error) {
			return memory.NewStore(scheme + " got " + rest + " in " + o.Dir), nil
		}
	}
	return &backends.Registry{
		Authorities: map[string]func(context.Context, string, backends.Options) (ca.Authority, error){"local": authority("local"), "vault": authority("vault")},
		Stores:      map[string]func(string, backends.Options) (issue.Store, error){"file": store("file"), "k8s": store("k8s")},
	}
}

var options = backends.Options{Dir: "pki", Now: func() time.Time { return time.Unix(0, 0) }}

func TestAuthorityByReference(t *testing.T) {
	for ref, want := range map[string]string{
		"": "local got  in pki", "local": "local got  in pki", "local:istio": "local got istio in pki", "local:": "local got  in pki",
		"vault:pki/mesh": "vault got pki/mesh in pki", "vault:a:b": "vault got a:b in pki",
	} {
		if _, err := registry().Authority(t.Context(), ref, options); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", ref, err, want)
		}
		if !registry().Knows(ref, options) {
			t.Errorf("%q is not known", ref)
		}
	}
	for _, ref := range []string{"Local", "awspca:arn:aws", ":", "/etc/pki", "local/x"} {
		_, err := registry().Authority(t.Context(), ref, options)
		re, ok := errors.AsType[*backends.RefError](err)
		if !ok || re.Ref != ref || !strings.Contains(err.Error(), "local, vault") {
			t.Errorf("%q: error %v, want a *backends.RefError that lists what is known", ref, err)
		}
		if registry().Knows(ref, options) {
			t.Errorf("%q is known", ref)
		}
	}
}

func TestStoreByReference(t *testing.T) {
	for ref, want := range map[string]string{
		"/etc/payment": "file got /etc/payment in pki", "file:/etc/payment": "file got /etc/payment in pki", "file:rel/x": "file got rel/x in pki",
		"file:///etc/payment": "file got /etc/payment in pki", "rel/x": "file got rel/x in pki", ".": "file got . in pki",
		"with:colon": "file got with:colon in pki", "k8s://prod/payment-tls": "k8s got prod/payment-tls in pki",
	} {
		s, err := registry().Store(ref, options)
		if err != nil || s.String() != want {
			t.Errorf("%q: %v, %v; want %s", ref, s, err, want)
		}
	}
	for _, ref := range []string{"", "file:", "file://", "k8s://", "s3://bucket/key", "://x"} {
		_, err := registry().Store(ref, options)
		if re, ok := errors.AsType[*backends.RefError](err); !ok || re.Ref != ref {
			t.Errorf("%q: error %v, want a *backends.RefError", ref, err)
		}
	}
}
