package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
)

// How far clocks may lie apart: more than the first is worth a word, more than the
// second makes certificates that are not valid yet.
const (
	clockOff   = 15 * time.Second
	clockWrong = 2 * time.Minute
)

// Check tries every assumption about a mount: the way there, the way in, what the
// policies allow, the role against what will be asked of it, and the CAs. It signs
// nothing. The error is for what cannot be meant; what is wrong is a check that failed.
func Check(ctx context.Context, rest string, o backends.Options, wants []backends.Want) ([]backends.Check, error) {
	a, err := open(ctx, rest, o)
	if err != nil {
		return nil, err
	}
	a.client.patience = 0 // who asks wants to know how it is now
	x := &examination{a: a, wants: wants}
	if !x.server(ctx) {
		return x.found, nil
	}
	x.issuers(ctx)
	if x.login(ctx) {
		x.mount(ctx)
		x.capabilities(ctx)
		x.role(ctx)
		x.urls(ctx)
	}
	return x.found, nil
}

type examination struct {
	a     *Authority
	wants []backends.Want
	found []backends.Check
	keeps time.Duration // the greatest life that the mount gives; 0: not known
	root  bool          // the token may do everything
}

func (x *examination) say(name string, state backends.State, remedy, format string, args ...any) {
	x.found = append(x.found, backends.Check{Name: name, State: state, Says: fmt.Sprintf(format, args...), Remedy: remedy})
}

// fail says what an error says.
func (x *examination) fail(name string, state backends.State, err error) {
	remedy := ""
	if r, ok := errors.AsType[*remedied](err); ok {
		remedy = r.remedy
	}
	x.say(name, state, remedy, "%s", err.Error())
}

// server tells how the server is; false where nothing more can be asked of it.
func (x *examination) server(ctx context.Context) bool {
	c := x.a.client
	var health *api.HealthResponse
	_, err := c.again(ctx, "read sys/health", c.api, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		// The state of the server is not a namespace's.
		var err error
		health, err = c.WithNamespace("").Sys().HealthWithContext(ctx)
		return nil, err
	})
	if err != nil {
		remedy := "VAULT_ADDR, or address: in the manifest, names the server"
		if strings.Contains(err.Error(), "certificate") {
			remedy = "VAULT_CACERT or caCert: names its roots, VAULT_TLS_SERVER_NAME or serverName: the name in its certificate"
		}
		x.say("address", backends.StateFailed, remedy, "%s", strings.TrimPrefix(err.Error(), ca.ErrAway.Error()+": "))
		return false
	}
	x.say("address", backends.StateOK, "", "Vault %s answers at %s", clean(health.Version), c.address)
	if inClear(c.address) {
		x.say("tls", backends.StateWarning, "an address that begins with https://", "the token travels in the clear")
	}
	switch {
	case !health.Initialized:
		x.say("seal", backends.StateFailed, "vault operator init", "Vault is not initialized")
		return false
	case health.Sealed:
		x.say("seal", backends.StateFailed, "vault operator unseal", "Vault is sealed")
		return false
	}
	x.say("seal", backends.StateOK, "", "Vault is unsealed%s", map[bool]string{true: ", this node a standby, which passes requests on"}[health.Standby])
	x.clock(health)
	if ns := c.api.Namespace(); ns != "" {
		if !health.Enterprise {
			x.say("namespace", backends.StateFailed, "leave namespace: and VAULT_NAMESPACE empty", "namespace %s is asked for, and this Vault has none: they are the Enterprise edition's", ns)
		} else {
			x.say("namespace", backends.StateOK, "", "namespace %s is sent", ns)
		}
	}
	return true
}

// inClear tells whether what is sent to an address can be read on the way there.
func inClear(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return u.Hostname() != "localhost"
	}
	return !ip.Unmap().IsLoopback()
}

func (x *examination) clock(health *api.HealthResponse) {
	if health.ServerTimeUTC == 0 {
		return
	}
	off := time.Unix(health.ServerTimeUTC, 0).Sub(x.a.now()).Round(time.Second)
	state := backends.StateOK
	switch {
	case off.Abs() > clockWrong:
		state = backends.StateFailed
	case off.Abs() > clockOff:
		state = backends.StateWarning
	}
	if state == backends.StateOK {
		x.say("clock", state, "", "its clock and this machine's agree")
		return
	}
	x.say("clock", state, "have both keep time by NTP", "its clock is %s %s this machine's", off.Abs(), map[bool]string{true: "before", false: "behind"}[off > 0])
}

// login logs in, and looks at the token.
func (x *examination) login(ctx context.Context) bool {
	holder, err := x.a.client.session.client(ctx, x.a.client)
	if err != nil {
		x.fail("login", backends.StateFailed, err)
		return false
	}
	way := x.a.client.session.way()
	got, err := x.a.client.again(ctx, "read auth/token/lookup-self", holder, func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Auth().Token().LookupSelfWithContext(ctx)
	})
	if isStatus(err, http.StatusForbidden) {
		if x.a.client.session.logsIn() {
			x.say("token", backends.StateUnknown, "give it the policy default", "the way in is %s; its policies do not let the token be looked up", way)
			return true
		}
		x.say("token", backends.StateFailed, x.a.client.session.tokenRemedy(), "the token is not known to Vault: it has ended or was revoked")
		return false
	}
	if err != nil {
		x.fail("token", backends.StateFailed, err)
		return false
	}
	policies := append(got.list("policies"), got.list("identity_policies")...)
	life := time.Duration(got.number("ttl")) * time.Second
	x.root = slices.Contains(policies, "root")
	about := fmt.Sprintf("the way in is %s; policies %s", way, clean(strings.Join(policies, ", ")))
	switch {
	case x.root:
		x.say("token", backends.StateWarning, "meshpki backend check "+x.a.String()+" --suggest prints a policy that is enough", "%s: a root token may do everything", about)
	case life == 0:
		x.say("token", backends.StateWarning, "a token with a ttl, which is renewed", "%s; the token never ends", about)
	case !got.is("renewable") && !x.a.client.session.logsIn():
		x.say("token", backends.StateWarning, "a renewable token, or a way in under auth: in the manifest", "%s; the token ends in %s and cannot be renewed", about, life)
	default:
		x.say("token", backends.StateOK, "", "%s; it ends in %s, and is %s", about, life, map[bool]string{true: "renewed", false: "had anew"}[got.is("renewable")])
	}
	return true
}

// mount looks at the mount itself, where the policies allow it.
func (x *examination) mount(ctx context.Context) {
	got, err := x.a.client.read(ctx, "sys/internal/ui/mounts/"+x.a.settings.Mount)
	switch {
	case isStatus(err, http.StatusForbidden) && x.root: // who may do everything is told so of what is not there
		x.say("mount", backends.StateFailed, "vault secrets list names the mounts", "there is no mount %s", x.a.settings.Mount)
		return
	case isStatus(err, http.StatusForbidden):
		x.say("mount", backends.StateUnknown, "", "the policies tell nothing about %s", x.a.settings.Mount)
		return
	case err != nil:
		x.fail("mount", backends.StateFailed, err)
		return
	case got.text("type") != "pki":
		x.say("mount", backends.StateFailed, "vault secrets list names the mounts", "%s is a mount of type %s, not pki", x.a.settings.Mount, clean(firstOf(got.text("type"), "unknown")))
		return
	}
	config := &answer{data: map[string]any{}}
	if m, ok := got.data["config"].(map[string]any); ok {
		config.data = m
	}
	x.keeps = time.Duration(config.number("max_lease_ttl")) * time.Second
	x.say("mount", backends.StateOK, "", "%s is a PKI mount, and gives %s at the longest", x.a.settings.Mount, days(x.keeps))
}

// capabilities asks which of the paths that are needed the token may use.
func (x *examination) capabilities(ctx context.Context) {
	sign, err := x.a.signPath()
	if err != nil {
		x.say("role", backends.StateFailed, "vault list "+x.a.path("roles")+" names those that are there", "%s", err.Error())
		return
	}
	needed := []struct {
		path, does, can string
		grave           bool
	}{
		{sign, "sign", "update", true},
		{x.a.path("roles", x.a.settings.Role), "read the role", "read", false},
		{x.a.path("revoke"), "revoke", "update", false},
		{"auth/token/renew-self", "renew the token", "update", false},
	}
	var paths []string
	for _, n := range needed {
		paths = append(paths, n.path)
	}
	got, err := x.a.client.write(ctx, "sys/capabilities-self", map[string]any{"paths": paths})
	if err != nil {
		x.say("policy", backends.StateUnknown, "give it the policy default", "the policies do not let their own reach be asked")
		return
	}
	for _, n := range needed {
		if n.does == "read the role" && x.a.settings.Role == "" {
			continue
		}
		can := got.list(n.path)
		name := "policy"
		switch {
		case slices.Contains(can, n.can), slices.Contains(can, "root"), n.can == "update" && slices.Contains(can, "create"):
			x.say(name, backends.StateOK, "", "it may %s: %s on %s", n.does, n.can, n.path)
		case n.grave:
			x.say(name, backends.StateFailed, "meshpki backend check "+x.a.String()+" --suggest prints the policy", "it may not %s: %s on %s is missing", n.does, n.can, n.path)
		default:
			x.say(name, backends.StateWarning, "meshpki backend check "+x.a.String()+" --suggest prints the policy", "it may not %s: %s on %s is missing", n.does, n.can, n.path)
		}
	}
}

// issuers looks at the CAs of the mount.
func (x *examination) issuers(ctx context.Context) {
	found, err := x.a.issuers(ctx)
	if err != nil {
		x.fail("issuer", backends.StateFailed, err)
		return
	}
	now := x.a.now()
	var longest time.Duration
	for _, w := range x.wants {
		longest = max(longest, w.Validity)
	}
	for _, i := range found {
		name := clean(firstOf(i.name, i.certificate.Subject.CommonName, i.id))
		left := i.certificate.NotAfter.Sub(now)
		switch {
		case i.revoked:
			x.say("issuer", backends.StateWarning, "vault delete "+x.a.path("issuer", i.id), "%s is revoked", name)
		case left <= 0:
			x.say("issuer", backends.StateFailed, "vault delete "+x.a.path("issuer", i.id)+", once another one is the default", "%s ended %s", name, i.certificate.NotAfter.UTC().Format(time.DateOnly))
		case now.Before(i.certificate.NotBefore.Add(30 * time.Second)):
			x.say("issuer", backends.StateWarning, "wait 30 seconds, or begin a CA a minute back", "%s is so young that it signs nothing for the first 30 seconds", name)
		case left < longest:
			x.say("issuer", backends.StateFailed, "a new issuer in the mount, or shorter certificates", "%s ends in %s, before a certificate of %s would", name, days(left), days(longest))
		case left < 2*longest:
			x.say("issuer", backends.StateWarning, "a new issuer in the mount: both roots are trusted while both are there", "%s ends in %s", name, days(left))
		default:
			x.say("issuer", backends.StateOK, "", "%s signs until %s", name, i.certificate.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	roots, err := x.a.Roots(ctx)
	if err != nil {
		x.fail("roots", backends.StateFailed, err)
		return
	}
	names := make([]string, 0, len(roots))
	for _, r := range roots {
		names = append(names, clean(r.Subject.CommonName)+" "+ca.Fingerprint(r)[:12])
	}
	x.say("roots", backends.StateOK, "", "the bundle is %s", strings.Join(names, ", "))
}

// days says a time as people do.
func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
	return d.Round(time.Second).String()
}
