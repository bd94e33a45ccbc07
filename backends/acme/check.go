package acme

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// skew is how far the server's clock may be from ours before it is worth a look.
const skew = 5 * time.Minute

// Check tries what an order would need: the server, the account, the profile, the
// roots, each way of proving names, and each certificate that is wanted. Nothing is
// ordered, and no account is made.
func Check(ctx context.Context, directory string, o backends.Options, wants []backends.Want) ([]backends.Check, error) {
	a, err := open(directory, o)
	if err != nil {
		return nil, err
	}
	c := &checking{Authority: a, ctx: ctx}
	c.server()
	c.rootsKnown()
	for _, s := range a.solvers {
		c.solver(s)
	}
	for _, w := range wants {
		c.want(w)
	}
	return c.found, context.Cause(ctx)
}

// checking is a check on its way.
type checking struct {
	*Authority

	ctx   context.Context
	found []backends.Check
}

func (c *checking) say(name string, state backends.State, says, remedy string) {
	c.found = append(c.found, backends.Check{Name: name, State: state, Says: says, Remedy: remedy})
}

// server tries the way there, and what the server says of itself.
func (c *checking) server() {
	release, err := c.take(c.ctx)
	if err != nil {
		return // the context is over
	}
	defer release()
	d, err := c.connect(c.ctx)
	if err != nil {
		remedy := "see that the server is there, and that this machine may go there"
		if !errors.Is(err, ca.ErrAway) {
			remedy = "caCert names a file with the roots that the server is trusted by"
		}
		c.say("server", backends.StateFailed, err.Error(), remedy)
		for _, name := range []string{"account", "profile", "renewal"} {
			c.say(name, backends.StateUnknown, "the server could not be asked", "")
		}
		return
	}
	says := "it is there, and trusted"
	if d.Meta != nil && d.Meta.TermsOfService != "" {
		says += "; whoever uses it agrees to " + short(d.Meta.TermsOfService)
	}
	c.say("server", backends.StateOK, says, "")
	c.time(d)
	c.accountOf(d)
	c.profileOf(d)
	if d.RenewalInfo == "" {
		c.say("renewal", backends.StateWarning, "the server tells nobody when to renew (RFC 9773): the clock alone decides", "")
	} else {
		c.say("renewal", backends.StateOK, "the server tells when to renew (RFC 9773)", "")
	}
}

// time compares the clocks.
func (c *checking) time(d acme.Directory) {
	r, err := http.NewRequestWithContext(c.ctx, http.MethodHead, d.NewNonce, nil)
	if err != nil {
		c.say("nonce", backends.StateFailed, "the directory names no place for nonces (RFC 8555, Section 7.2)", "")
		return
	}
	resp, err := c.client.HTTPClient.Do(r)
	if err != nil {
		c.say("nonce", backends.StateFailed, c.said("fetch a nonce from", err).Error(), "")
		return
	}
	resp.Body.Close()
	at, err := http.ParseTime(resp.Header.Get("Date"))
	switch off := at.Sub(c.options.Now()); {
	case err != nil:
		c.say("clock", backends.StateUnknown, "the server does not say what time it is", "")
	case off.Abs() > skew:
		c.say("clock", backends.StateWarning, fmt.Sprintf("the server's clock and this machine's are %s apart", off.Abs().Round(time.Second)), "see that this machine's clock is set by NTP")
	default:
		c.say("clock", backends.StateOK, "the server and this machine agree on the time", "")
	}
}

// accountOf looks for the account, and for what making one would need.
func (c *checking) accountOf(d acme.Directory) {
	bad := func(says, remedy string) { c.say("account", backends.StateFailed, says, remedy) }
	demanded := d.Meta != nil && d.Meta.ExternalAccountRequired
	key, err := c.readKey(c.keyPath())
	if errors.Is(err, fs.ErrNotExist) && c.settings.AccountKeyFile == "" {
		c.binding(demanded, "the first order makes it")
		return
	}
	if err != nil {
		remedy := "accountKeyFile names the file with the account's key"
		if errors.Is(err, pemfile.ErrKeyEncrypted) || errors.Is(err, pemfile.ErrWrongPassphrase) {
			remedy = "--passphrase-file FILE gives its passphrase"
		}
		bad(err.Error(), remedy)
		return
	}
	account, err := c.client.GetAccount(c.ctx, acme.Account{PrivateKey: key})
	switch {
	case isProblem(err, acme.ProblemTypeAccountDoesNotExist):
		c.binding(demanded, "its key is there, and the first order makes it")
	case err != nil:
		bad(c.said("look up the account with", err).Error(), "")
	case account.Status != "" && account.Status != acme.StatusValid:
		bad("it is "+short(account.Status)+" at the server: "+short(account.Location), "another key makes another account: move "+c.keyPath()+" away")
	default:
		c.say("account", backends.StateOK, "it is "+short(account.Location), "")
	}
}

// binding tells whether an account could be made.
func (c *checking) binding(demanded bool, says string) {
	switch {
	case c.settings.EABKeyFile != "":
		if _, err := pemfile.ReadFile(c.settings.EABKeyFile); err != nil {
			c.say("account", backends.StateFailed, "the key of the external account binding: "+err.Error(), "eab.hmacKeyFile names the file with it")
			return
		}
	case demanded:
		c.say("account", backends.StateFailed, "the server demands an external account binding (RFC 8555, Section 7.3.4)", "eab: {keyId: ..., hmacKeyFile: ...} in the backend's entry of the manifest")
		return
	}
	c.say("account", backends.StateOK, "there is none yet: "+says, "")
}

func (c *checking) profileOf(d acme.Directory) {
	var offered []string
	if d.Meta != nil {
		for _, name := range slices.Sorted(maps.Keys(d.Meta.Profiles)) {
			offered = append(offered, short(name))
		}
	}
	switch profile := c.settings.Profile; {
	case profile == "" && len(offered) == 0:
	case profile == "":
		c.say("profile", backends.StateOK, "the server's default, of "+list(offered), "")
	case slices.Contains(offered, profile):
		c.say("profile", backends.StateOK, fmt.Sprintf("the server has %q", profile), "")
	default:
		c.say("profile", backends.StateFailed, fmt.Sprintf("the server has no %q: it has %s", profile, list(offered)), "profile names one of them")
	}
}

// rootsKnown tells whether what is to be trusted is known.
func (c *checking) rootsKnown() {
	roots, err := c.Roots(c.ctx)
	switch {
	case errors.Is(err, errNoRoots):
		c.say("roots", backends.StateUnknown, "they are found out by the first order, of those that this system or caCert trusts", "roots names the file with them, where they are others")
	case err != nil:
		c.say("roots", backends.StateFailed, err.Error(), "roots names the file with them")
	default:
		for _, r := range roots {
			if !r.IsCA || !r.NotAfter.After(c.options.Now()) {
				c.say("roots", backends.StateFailed, fmt.Sprintf("%s is no CA certificate, or has expired", short(r.Subject.CommonName)), "roots names the file with them")
				return
			}
		}
		c.say("roots", backends.StateOK, fmt.Sprintf("%d known, the first is %s", len(roots), short(roots[0].Subject.CommonName)), "")
	}
}

// solver tries whether challenges of a type could be answered.
func (c *checking) solver(s solver) {
	says, err := "", error(nil)
	remedy := ""
	switch s := s.(type) {
	case *httpListener:
		says, err = "can be answered at "+s.address+", which has to be what the server sees as port 80", tryListen(c.ctx, s.address)
		remedy = "challenge.http.listen names another address, or challenge.http.webroot a directory"
	case *tlsListener:
		says, err = "can be answered at "+s.address+", which has to be what the server sees as port 443", tryListen(c.ctx, s.address)
		remedy = "challenge.tls.listen names another address"
	case webroot:
		says, err = "can be answered from "+s.dir, s.try()
		remedy = "this user has to be able to write below " + filepath.Join(s.dir, wellKnown)
	case dnsHook:
		var program string
		program, err = findProgram(s.argv[0])
		says, remedy = "is answered by "+program, "challenge.dns.hook names the program, which nobody else can change"
	}
	if err != nil {
		c.say(s.kind(), backends.StateFailed, err.Error(), remedy)
		return
	}
	c.say(s.kind(), backends.StateOK, says, "")
}

func tryListen(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// try writes an answer and takes it away again.
func (w webroot) try() error {
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(wellKnown, 0o755); err != nil {
		return err
	}
	name := filepath.Join(wellKnown, "meshpki-check-"+durable.Suffix())
	if err := root.WriteFile(name, nil, 0o644); err != nil {
		return err
	}
	return root.Remove(name)
}

// want holds a certificate that will be asked for against what can be certified.
func (c *checking) want(w backends.Want) {
	var left []string
	usable := 0
	for _, n := range w.Identity.Names() {
		err := c.Judge(n)
		switch {
		case err == nil:
			usable++
		case n.Type == ca.DNS:
			left = append(left, n.Value)
		case n.Type != ca.CommonName: // that is left out, where nobody has asked for it
			c.say(w.Name, backends.StateFailed, err.Error(), "backend: local certifies it; identity: plain orders no SPIFFE ID")
			return
		}
	}
	err := c.checkUse(ca.Request{Profile: w.Profile})
	switch {
	case err != nil:
		c.say(w.Name, backends.StateFailed, err.Error(), "backend: local certifies both ends; profile: server asks for what this one can give")
	case usable == 0:
		c.say(w.Name, backends.StateFailed, "none of its names can be certified: "+strings.Join(left, ", "), "dns names one that can")
	case len(left) > 0:
		c.say(w.Name, backends.StateWarning, "names of it that cannot be certified are left out, or refused if they were asked for: "+strings.Join(left, ", "), "noDefaultDns: true leaves the default names out")
	default:
		c.say(w.Name, backends.StateOK, "its names and its use can be certified", "")
	}
}
