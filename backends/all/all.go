// Package all lists every backend. It is the only package that imports them.
package all

import (
	"context"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/acme"
	"github.com/meshpki/meshpki/backends/awspca"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/backends/kms"
	"github.com/meshpki/meshpki/backends/kubernetes"
	"github.com/meshpki/meshpki/backends/vault"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// Registry gives every authority and every store, by scheme.
func Registry() *backends.Registry {
	clusters := &kubernetes.Clusters{}
	return &backends.Registry{
		Authorities: map[string]func(context.Context, string, backends.Options) (ca.Authority, error){
			"local": func(_ context.Context, name string, o backends.Options) (ca.Authority, error) {
				d, err := file.OpenKeeping(o.Dir, o.CheckpointTo, o.Now)
				if err != nil {
					return nil, err
				}
				d.URLs, d.Ledger().OpenKey = o.URLs, o.OpenKey
				if file.IsRootName(name) {
					return nil, &backends.RefError{Ref: "local:" + name, Problem: "is the root: it signs intermediates, and they sign for services"}
				}
				return d.Issuer(name, file.KeySource{File: o.KeyFile, URI: o.KeyURI, Open: o.OpenKey, Passphrase: o.Passphrase})
			},
			"acme":  acme.Open,
			"vault": vault.Open,
			"awspca": func(_ context.Context, arn string, o backends.Options) (ca.Authority, error) {
				return awspca.Open(arn, o)
			},
			"kubernetes": clusters.Authority,
		},
		Outlooks: map[string]func(context.Context, string, backends.Options) (ca.Outlook, error){
			"local": func(_ context.Context, name string, o backends.Options) (ca.Outlook, error) {
				d, err := file.Open(o.Dir, o.Now)
				if err != nil {
					return ca.Outlook{}, err
				}
				return d.Outlook(name)
			},
			"acme": acme.Outlook,
		},
		Keys:     kms.Schemes(),
		Platform: clusters.Platform,
		Sources: map[string]func(context.Context, string, backends.Options) ([]backends.Source, error){
			"k8s": clusters.Sources,
		},
		Checks: map[string]func(context.Context, string, backends.Options, []backends.Want) ([]backends.Check, error){
			"acme":       acme.Check,
			"awspca":     awspca.Check,
			"kubernetes": clusters.Check,
			"vault":      vault.Check,
		},
		Suggests: map[string]func(string, backends.Options, []backends.Want) ([]backends.Suggestion, error){
			"acme":       acme.Suggest,
			"awspca":     awspca.Suggest,
			"kubernetes": clusters.Suggest,
			"vault":      vault.Suggest,
		},
		Stores: map[string]func(string, backends.Options) (issue.Store, error){
			"file": func(path string, _ backends.Options) (issue.Store, error) {
				return file.NewStore(path), nil
			},
			"k8s": clusters.Store,
		},
	}
}
