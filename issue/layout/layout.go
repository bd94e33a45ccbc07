// Package layout knows the file names and the order that consumers of
// certificates expect: one consumer a file, each a pure function of the
// credential.
package layout

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/issue"
)

// Named is a layout with its name and the names of the files that it makes.
type Named struct {
	// Name is the layout's, with the option that was asked for behind a colon.
	Name string
	// Files are all the names that Encode may give; without a private key, those
	// that hold it are missing.
	Files []string
	// Roots is the one of them that holds the roots alone: layouts that agree on its
	// name may stand together.
	Roots string
	issue.Layout
	// options are the ways in which it can be asked for besides the plain one.
	options map[string]issue.Layout
}

// Options lists what may stand behind the layout's name and a colon, in order.
func (n Named) Options() []string {
	var out []string
	for _, name := range optionNames {
		if _, ok := n.options[name]; ok {
			out = append(out, name)
		}
	}
	return out
}

// optionNames are all options, in the order in which they are told.
var optionNames = []string{optionPKCS1, optionSEC1, optionDER, optionCombined, optionClient, optionLegacyDES, optionModern2026}

// DecodeBy is the layout's Decode; its parser of certificates is parse where it can be.
func (n Named) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	if l, ok := n.Layout.(issue.SharedDecoder); ok {
		return l.DecodeBy(f, parse)
	}
	return n.Decode(f)
}

// Locked tells whether its files are locked with a password: see With.
func (n Named) Locked() bool {
	_, ok := n.Layout.(locked)
	return ok
}

// With is the layout with the password that its keystores are locked with.
func (n Named) With(password []byte) (Named, error) {
	l, ok := n.Layout.(locked)
	if !ok {
		return n, nil
	}
	if err := checkPassword(password); err != nil {
		return n, err
	}
	n.Layout = l.with(string(password))
	return n, nil
}

// Key reads the private key back from what Encode made.
func (n Named) Key(f issue.Files) (crypto.Signer, error) {
	if l, ok := n.Layout.(keyed); ok {
		return l.key(f)
	}
	return nil, errNoKey
}

// locked is implemented by a layout whose files are locked with a password.
type locked interface {
	with(password string) issue.Layout
}

// keyed is implemented by a layout that can give the private key back.
type keyed interface {
	key(f issue.Files) (crypto.Signer, error)
}

// Default is the layout where none is asked for.
const Default = "tls"

// All lists every layout, the default first, each in its plain form.
func All() []Named {
	return []Named{
		{"tls", []string{"tls.crt", "tls.key", "ca.crt"}, "ca.crt", tls, tls.tlsForms()},
		{"pem", []string{"cert.pem", "key.pem", "ca.pem"}, "ca.pem", pem, pem.forms()},
		{"combined", []string{combinedFile, "ca.crt"}, "ca.crt", combined{}, combined{}.forms()},
		{"nginx", []string{"fullchain.pem", "privkey.pem", "ca.pem", nginxVerify}, "ca.pem", nginx, nil},
		{"envoy", []string{"tls.crt", "tls.key", "ca.crt", envoyCertificate, envoyValidation}, "ca.crt", envoy{}, nil},
		{"traefik", []string{"tls.crt", "tls.key", "ca.crt", traefikFile}, "ca.crt", traefik{}, nil},
		{"postgres", []string{"server.crt", "server.key", "root.crt"}, "root.crt", postgresServer,
			map[string]issue.Layout{optionClient: postgresClient}},
		{"pkcs12", []string{"keystore.p12", "truststore.p12"}, "truststore.p12", pkcs12Store{},
			map[string]issue.Layout{optionLegacyDES: pkcs12Store{profile: optionLegacyDES}, optionModern2026: pkcs12Store{profile: optionModern2026}}},
		{"jks", []string{"keystore.jks", "truststore.jks"}, "truststore.jks", jks{}, nil},
		{"spiffe", []string{"svid.pem", "svid_key.pem", "svid_bundle.pem"}, "svid_bundle.pem", spiffe, nil},
	}
}

// Names lists the names of all layouts, the default first.
func Names() []string {
	var out []string
	for _, l := range All() {
		out = append(out, l.Name)
	}
	return out
}

// byName finds one layout, in its plain form or as its option has it.
func byName(name string) (Named, error) {
	base, option, asked := strings.Cut(name, ":")
	i := slices.IndexFunc(All(), func(l Named) bool { return l.Name == base })
	if i < 0 {
		return Named{}, fmt.Errorf("layout %q is none of %s", name, strings.Join(Names(), ", "))
	}
	l := All()[i]
	if !asked {
		return l, nil
	}
	form, ok := l.options[option]
	if whole, several := l.Layout.(split); !ok && several && strings.Contains(option, ":") && l.options[optionDER] != nil {
		var err error
		if form, err = whole.with(strings.Split(option, ":")...); err != nil {
			return l, fmt.Errorf("layout %q: %w", name, err)
		}
		ok = true
	}
	switch {
	case len(l.options) == 0:
		return l, fmt.Errorf("layout %q: %s has no options", name, base)
	case !ok:
		return l, fmt.Errorf("layout %q: what may stand behind %s: is %s", name, base, strings.Join(l.Options(), ", "))
	}
	l.Name, l.Layout = name, form
	if s, ok := form.(interface{ names() []string }); ok {
		l.Files = s.names()
	}
	return l, nil
}

// ByName finds layouts by their names, without doubles; none is the default.
func ByName(names ...string) ([]Named, error) {
	if len(names) == 0 {
		names = []string{Default}
	}
	var out []Named
	for _, name := range names {
		l, err := byName(name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(o Named) bool { return o.Name == name }) {
			out = append(out, l)
		}
	}
	return out, clash(out)
}

// clash refuses layouts that would write the same file.
func clash(layouts []Named) error {
	owner := map[string]Named{}
	for _, l := range layouts {
		for _, f := range l.Files {
			if other, taken := owner[f]; taken && (f != l.Roots || f != other.Roots) {
				return fmt.Errorf("layouts %s and %s both make a file %s: give each a place of its own", other.Name, l.Name, f)
			}
			owner[f] = l
		}
	}
	return nil
}

// What Decode and Key say of files that hold no chain, or no key, of the layout's.
var (
	errNoLeaf = errors.New("the file of the chain is missing")
	errNoKey  = errors.New("the private key is missing")
)
