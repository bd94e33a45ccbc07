package command

import (
	"context"
	"crypto/x509"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

// hostConsumer is the shape of an intermediate for one machine that renews by itself.
const (
	hostConsumer = "host"
	hostValidity = 90 * 24 * time.Hour
)

func caCommand() *command {
	return &command{
		name:    "ca",
		summary: "make and show authorities",
		about:   "The authorities of the state directory: a root, and the intermediates below it that sign for services.",
		examples: []example{
			{"a root and an issuing intermediate", "meshpki ca init"},
			{"what is there", "meshpki ca list"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo, codeRefused),
		sub: []*command{initCommand(), caListCommand(), caShowCommand(), intermediateCommand(), bundleCommand(),
			caCSRCommand(), caSignCommand(), caExportCommand(), caImportCommand(), caKeyCommand(), crossSignCommand(), reissueCommand(), rotateCommand()},
	}
}

func caListCommand() *command {
	return &command{
		name:     "list",
		summary:  "list the authorities of the directory",
		about:    "Lists every authority: what it is, its key, and how long it lives; also those that were asked for with ca csr and have not come.",
		examples: []example{{"what is there", "meshpki ca list"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage),
		flags:    common(),
		run: func(ctx context.Context, c *call) error {
			if _, err := c.arguments(0, 0, ""); err != nil {
				return err
			}
			d, err := c.open()
			if err != nil {
				return err
			}
			all, err := d.Authorities()
			if err != nil {
				return err
			}
			list := describeAuthorities(all, c.env.Now())
			if err := addEnds(ctx, list, all, d, c.dirFlag(), c.env.Now()); err != nil {
				return err
			}
			if err := c.retiring(ctx, d, list, all); err != nil {
				return err
			}
			pending, err := pendingAuthorities(d)
			if err != nil {
				return err
			}
			return c.say(ui.Authorities{List: append(list, pending...), Now: c.env.Now()})
		},
	}
}

func caShowCommand() *command {
	return &command{
		name:     "show",
		summary:  "show one authority in full",
		args:     "[NAME]",
		about:    "Shows an authority's certificate in full, and where its key is; without a name, the issuing intermediate's.",
		examples: []example{{"the issuing intermediate", "meshpki ca show"}, {"the root", "meshpki ca show root"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage),
		flags:    common(),
		run: func(ctx context.Context, c *call) error {
			args, err := c.arguments(0, 1, "")
			if err != nil {
				return err
			}
			d, err := c.open()
			if err != nil {
				return err
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			a, err := d.Authority(name)
			if err != nil {
				return err
			}
			now := c.env.Now()
			report := inspect.Describe(a.Path, inspect.Object{Kind: inspect.KindCertificate, Index: 1, DER: a.Certificate.Raw, Certificate: a.Certificate}, now)
			list := describeAuthorities([]file.Authority{a}, now)
			if err := addEnds(ctx, list, []file.Authority{a}, d, c.dirFlag(), now); err != nil {
				return err
			}
			if err := c.retiring(ctx, d, list, []file.Authority{a}); err != nil {
				return err
			}
			return c.say(ui.AuthorityShown{Authority: list[0], Report: report, Now: now})
		},
	}
}

func intermediateCommand() *command {
	return &command{
		name:    "intermediate",
		summary: "make another intermediate",
		args:    "NAME",
		about: "Makes an intermediate authority under the root, or under another intermediate whose path length " +
			"allows it. --for host makes one for a single machine that renews by itself: 90 days, constrained, " +
			"path length 0; it wants at least one --permit flag. With --backend, an authority elsewhere signs it, and in a " +
			"directory without a root that one's becomes its root. With --in the key is made elsewhere and stays there, and the " +
			"local root signs it; run again, it hands over what was signed before.",
		examples: []example{
			{"one for Linkerd", "meshpki ca intermediate linkerd --for linkerd"},
			{"one for a machine, for its name", "meshpki ca intermediate web-1 --for host --permit-dns web-1.example.com"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused),
		flags: common(caFlags(
			text("parent", "the `NAME` of the authority that signs (default root)"),
			number("max-path-len", 0, "how many CAs may stand below it, a `NUMBER` (default 0)"),
			text("validity", "how long it lives, a `DURATION` (default 3y, cut to its parent's end)"),
			text("key", "the `FILE` or key URI with the parent's key, where it is not in the directory"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
			text("backend", "the authority elsewhere that signs it, a `REF`"),
			text("in", "the authority elsewhere that it becomes, a `REF`: its key is made there and stays there"),
			text("trust-domain", "the SPIFFE `TRUST-DOMAIN` of a new directory, with --backend (default cluster.local)"),
		)...),
		run: runIntermediate,
	}
}

func runIntermediate(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "a name for the intermediate")
	if err != nil {
		return err
	}
	if err := checkAuthorityName("name", args[0]); err != nil {
		return err
	}
	switch {
	case c.IsSet("backend") && c.IsSet("in"):
		return usagef("--backend and --in do not go together: the one signs it, in the other it is kept")
	case c.IsSet("backend"):
		return c.intermediateFrom(ctx, args[0])
	}
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	if c.IsSet("in") {
		return c.intermediateIn(ctx, d, args[0])
	}
	if _, err := d.Authority(args[0]); err == nil {
		return withHint(usagef("there is an authority %q already", args[0]), "meshpki ca show %s%s", args[0], c.dirFlag())
	}
	o, err := c.intermediateOptions(d, args[0])
	if err != nil {
		return err
	}
	if o.Passphrase, err = c.newPassphrase("the new key"); err != nil {
		return err
	}
	a, err := d.AddIntermediate(ctx, o)
	if errors.Is(err, file.ErrNoKey) {
		return withHint(err, "--key FILE names the file that holds the key of %s", o.Parent)
	}
	if err != nil {
		return err
	}
	now := c.env.Now()
	return c.say(ui.Authorities{List: describeAuthorities([]file.Authority{a}, now), Now: now, Made: true, Dir: c.dir()})
}

func (c *call) intermediateOptions(d *file.Directory, name string) (file.IntermediateOptions, error) {
	o := file.IntermediateOptions{Name: name, Parent: c.String("parent"), ParentKey: c.keySource()}
	if o.Parent == "" {
		var err error
		if o.Parent, err = d.Root(); err != nil {
			return o, err
		}
	}
	td, err := c.trustDomain("", d.Settings().TrustDomain)
	if err != nil {
		return o, err
	}
	shape, kt, err := c.caShape(td)
	if err != nil {
		return o, err
	}
	o.KeyType = kt
	con, err := c.constraints(td)
	if err != nil {
		return o, err
	}
	host := c.String("for") == hostConsumer
	if host && con.Empty() {
		return o, usagef("--for host wants the names that the machine may certify: --permit-dns, --permit-cidr or --permit-spiffe")
	}
	o.Spec = ca.Spec{CommonName: orElse(shape.CommonName, d.Settings().Name+" "+name+" CA"), MaxPathLen: shape.MaxPathLen, Constraints: con}
	if c.IsSet("max-path-len") {
		if o.Spec.MaxPathLen = c.Int("max-path-len"); o.Spec.MaxPathLen < 0 {
			return o, usagef("--max-path-len: a path length is 0 or more (RFC 5280, Section 4.2.1.9)")
		}
	}
	if shape.URI || c.Bool("spiffe-uri") {
		o.Spec.URI = td
	}
	if shape.URI {
		if err := c.noticeRoot(d, td.ID().String()); err != nil {
			return o, err
		}
	}
	return o, c.intermediateLife(d, &o, host)
}

// noticeRoot says when a consumer will look for an ID in the root, in vain.
func (c *call) noticeRoot(d *file.Directory, id string) error {
	roots, err := d.Bundle()
	if err != nil {
		return err
	}
	for _, r := range roots {
		if !slices.ContainsFunc(r.URIs, func(u *url.URL) bool { return u.String() == id }) {
			c.notice("warning: %s wants %s in the root's certificate too, and %s has it not; meshpki ca init --for %s makes one that has",
				c.String("for"), id, ui.Clean(r.Subject.CommonName), c.String("for"))
		}
	}
	return nil
}

// intermediateLife settles how long an intermediate lives: a default is cut to
// its parent's end, a wish is not.
func (c *call) intermediateLife(d *file.Directory, o *file.IntermediateOptions, host bool) error {
	otherwise := intermediateValidity
	if host {
		otherwise = hostValidity
	}
	life, err := c.caValidity("validity", otherwise)
	if err != nil {
		return err
	}
	parent, err := d.Authority(o.Parent)
	if err != nil {
		return err
	}
	now := c.env.Now()
	o.Spec.NotBefore, o.Spec.NotAfter = now.Add(-ca.Backdate), now.Add(life)
	for _, above := range append([]*x509.Certificate{parent.Certificate}, parent.Above...) {
		if !c.IsSet("validity") && o.Spec.NotAfter.After(above.NotAfter) {
			o.Spec.NotAfter = above.NotAfter
			c.notice("the intermediate ends with %s, on %s", above.Subject.CommonName, ui.Day(above.NotAfter))
		}
	}
	return nil
}

func fingerprints(certs []*x509.Certificate) []string {
	var out []string
	for _, c := range certs {
		out = append(out, ca.Fingerprint(c))
	}
	return out
}

// describeAuthorities turns authorities into their document.
func describeAuthorities(all []file.Authority, now time.Time) []ui.Authority {
	var out []ui.Authority
	for _, a := range all {
		c := a.Certificate
		d := ui.Authority{
			Name: a.Name, Subject: c.Subject.String(), CommonName: c.Subject.CommonName, Role: "intermediate",
			KeyType: string(ca.KeyTypeOf(c.PublicKey)), KeyLabel: ca.KeyTypeOf(c.PublicKey).String(),
			Serial: ca.FormatSerial(c.SerialNumber), Fingerprint: ca.Fingerprint(c),
			NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Remaining: int64(c.NotAfter.Sub(now).Seconds()),
			Key: ui.KeyPlace{Path: a.KeyPath, URI: a.KeyURI, Encrypted: a.Encrypted, Here: a.KeyPath != ""},
		}
		for _, cross := range a.Crosses {
			d.CrossSigned = append(d.CrossSigned, ui.Cross{By: cross.Signer, Serial: ca.FormatSerial(cross.Certificate.SerialNumber),
				Fingerprint: ca.Fingerprint(cross.Certificate), NotAfter: cross.Certificate.NotAfter.UTC()})
		}
		if a.Root() {
			d.Role = "root"
		}
		if c.MaxPathLen > 0 || c.MaxPathLenZero {
			n := c.MaxPathLen
			d.MaxPathLen = &n
		}
		if len(a.Above) > 0 {
			d.Issuer = c.Issuer.String()
		}
		out = append(out, d)
	}
	return out
}
