package command

import (
	"cmp"
	"context"
	"reflect"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
)

// entries are the backends of the manifest of this run that have settings of their
// own. Whether the manifest can be read is for those to say who need it.
func (c *call) entries() map[string]backends.Entry {
	m, err := c.manifest()
	if err != nil || m == nil || len(m.Backends) == 0 {
		return nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.entriesOf != m {
		c.entriesOf, c.entriesRead = m, map[string]backends.Entry{}
		for name := range m.Backends {
			c.entriesRead[name] = entryOf(m.Backends[name])
		}
	}
	return c.entriesRead
}

// entryOf turns an entry of the manifest into what a backend takes.
func entryOf(b config.Backend) backends.Entry {
	switch {
	case b.Vault != nil:
		return vaultEntry(b.Vault)
	case b.AWSPCA != nil:
		return backends.Entry{Ref: "awspca:" + b.AWSPCA.ARN, Settings: &backends.AWSPCA{Region: b.AWSPCA.Region,
			Template: b.AWSPCA.Template, Rate: float64(b.AWSPCA.Rate)}}
	case b.ACME != nil:
		return backends.Entry{Ref: "acme:" + b.ACME.Directory, Settings: acmeSettings(b.ACME)}
	case b.Kubernetes != nil:
		return backends.Entry{Ref: "kubernetes:" + b.Kubernetes.SignerName,
			Settings: &backends.Kubernetes{Kubeconfig: b.Kubernetes.Kubeconfig, Context: b.Kubernetes.Context, CACert: b.Kubernetes.CACert, TrustBundle: b.Kubernetes.TrustBundle}}
	case b.Local != nil:
		return backends.Entry{Ref: "local:" + b.Local.Intermediate}
	}
	return backends.Entry{}
}

func acmeSettings(a *config.ACME) *backends.ACME {
	s := &backends.ACME{Contact: a.Contact, AccountKeyFile: a.AccountKeyFile, CACert: a.CACert, Profile: a.Profile,
		PreferredChain: a.PreferredChain, Roots: a.Roots}
	if a.EAB != nil {
		s.EABKeyID, s.EABKeyFile = a.EAB.KeyID, a.EAB.HMACKeyFile
	}
	if a.Challenge == nil {
		return s
	}
	if h := a.Challenge.HTTP; h != nil {
		s.HTTPListen, s.HTTPWebroot = h.Listen, h.Webroot
	}
	if t := a.Challenge.TLS; t != nil {
		s.TLSListen = t.Listen
	}
	if d := a.Challenge.DNS; d != nil {
		s.DNSHook = d.Hook
		// The manifest has been checked: what is written there is a duration.
		s.DNSWait, _ = config.ParseDuration(d.Wait)
		s.DNSTimeout, _ = config.ParseDuration(d.Timeout)
	}
	return s
}

func vaultEntry(v *config.Vault) backends.Entry {
	ref := "vault:" + v.Mount
	if v.Role != "" {
		ref += "/" + v.Role
	}
	return backends.Entry{Ref: ref, Settings: &backends.Vault{Mount: v.Mount, Role: v.Role, Mode: v.Mode, Issuer: v.Issuer, Address: v.Address, Namespace: v.Namespace,
		CACert: v.CACert, ServerName: v.ServerName, Roots: v.Roots, Auth: vaultAuth(v.Auth)}}
}

func vaultAuth(a *config.Auth) *backends.VaultAuth {
	switch {
	case a == nil:
		return nil
	case a.Token != nil:
		return &backends.VaultAuth{Method: "token", TokenFile: a.Token.File}
	case a.AppRole != nil:
		return &backends.VaultAuth{Method: "approle", Mount: a.AppRole.Mount, RoleID: a.AppRole.RoleID, SecretIDFile: a.AppRole.SecretIDFile, Wrapped: a.AppRole.Wrapped}
	case a.Kubernetes != nil:
		return &backends.VaultAuth{Method: "kubernetes", Mount: a.Kubernetes.Mount, Role: a.Kubernetes.Role, TokenFile: a.Kubernetes.TokenFile}
	case a.JWT != nil:
		return &backends.VaultAuth{Method: "jwt", Mount: a.JWT.Mount, Role: a.JWT.Role, TokenFile: a.JWT.TokenFile}
	case a.Cert != nil:
		return &backends.VaultAuth{Method: "cert", Mount: a.Cert.Mount, Role: a.Cert.Name, CertFile: a.Cert.CertFile, KeyFile: a.Cert.KeyFile}
	case a.AWS != nil:
		return &backends.VaultAuth{Method: "aws", Mount: a.AWS.Mount, Role: a.AWS.Role, Region: a.AWS.Region, ServerID: a.AWS.ServerID}
	}
	return nil
}

// authority opens the authority of a reference, ready to sign. One elsewhere is
// opened once: it has a way in that is kept, and limits that all targets share.
func (c *call) authority(ctx context.Context, ref string) (ca.Authority, error) {
	options := c.options()
	if c.env.Registry.Local(ref, options) {
		return c.env.Registry.Authority(ctx, ref, options)
	}
	c.opening.Lock()
	defer c.opening.Unlock()
	if d, ok := c.elsewhere[ref]; ok {
		return d.authority, nil
	}
	d := distant{entry: options.Entries[ref]}
	var kept context.Context
	kept, d.end = context.WithCancel(ctx)
	var err error
	if d.authority, err = c.env.Registry.Authority(kept, ref, options); err != nil {
		d.end()
		return nil, err
	}
	if c.elsewhere == nil {
		c.elsewhere = map[string]distant{}
	}
	c.elsewhere[ref] = d
	return d.authority, nil
}

// distant is an authority elsewhere, the entry of the manifest that it was opened by,
// and what ends its care for its way in.
type distant struct {
	authority ca.Authority
	entry     backends.Entry
	end       context.CancelFunc
}

// inherit takes over the authorities of a run by an earlier manifest whose entries are
// as they were: who is in need not log in again. What they know of the CAs is read anew.
// The others are over.
func (c *call) inherit(from *call) {
	from.opening.Lock()
	defer from.opening.Unlock()
	options := c.options()
	for ref, d := range from.elsewhere {
		if !reflect.DeepEqual(options.Entries[ref], d.entry) {
			d.end()
			continue
		}
		if r, ok := d.authority.(interface{ Refresh() }); ok {
			r.Refresh()
		}
		if c.elsewhere == nil {
			c.elsewhere = map[string]distant{}
		}
		c.elsewhere[ref] = d
	}
}

// backendOf is who signs what says nothing itself: the manifest's own backend.
func backendOf(m *config.Manifest) string {
	if m == nil {
		return ""
	}
	return cmp.Or(m.Defaults.Backend, m.Backend)
}
