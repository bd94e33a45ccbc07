package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/durable"
)

// wishFlags are the flags that say what an intermediate is to be, where one machine
// asks for it and where another signs it.
func wishFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		text("for", "shape it for a `CONSUMER`: "+consumers()+", or host"),
		number("max-path-len", 0, "how many CAs may stand below it, a `NUMBER` (default 0)"),
		text("validity", "how long it lives, a `DURATION` (default 3y, cut to its signer's end)"),
		toggle("spiffe-uri", "put the trust domain's SPIFFE ID into the certificate (X509-SVID, Section 3.2)"),
		many("permit-dns", "constrain it to DNS names within `DOMAIN`; may be repeated"),
		many("permit-spiffe", "constrain it to SPIFFE IDs of `TRUST-DOMAIN`; may be repeated"),
		many("permit-cidr", "constrain it to IP addresses within `CIDR`; may be repeated"),
		many("permit-email", "constrain it to email addresses at `HOST`, or within .DOMAIN; may be repeated"),
		&cli.BoolFlag{Name: "permit-only-named", Value: true, Usage: "with any --permit flag, exclude every type of name that is not permitted; --permit-only-named=false leaves them open"},
		text("trust-domain", "the SPIFFE `TRUST-DOMAIN` (default: the directory's)"),
	)
}

func consumers() string {
	names := ""
	for i, n := range ca.Consumers() {
		if i > 0 {
			names += ", "
		}
		names += n
	}
	return names
}

func caCSRCommand() *command {
	return &command{
		name:    "csr",
		summary: "ask for an intermediate that another machine signs",
		args:    "NAME",
		about: "The first of three steps between two machines, of which only the other has the root's key. It makes the key " +
			"of an intermediate and a certificate request, and keeps what was asked for beside it; meshpki ca sign answers it " +
			"there, and meshpki ca import takes the answer in here. Where there is no directory yet, one without any root is made. " +
			"What happened is kept in a transcript under transcripts/ in the directory, as it is of the other steps.",
		examples: []example{
			{"in a new directory, on the machine that will issue", "meshpki ca csr online --dir online"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused),
		flags: common(wishFlags(
			text("key-type", "the kind of key: `"+keyTypeNames("|")+"` (default ec-p256)"),
			text("name", "the `NAME` in the subject (default: the directory's, of a new one Mesh)"),
			text("cluster-domain", "of a new directory: the `DOMAIN` behind the services' DNS names (default cluster.local)"),
			text("common-name", "the whole common name, a `TEXT`, in place of NAME and the intermediate's"),
			text("key", "make the key where this key `URI` says, or take the one that is there"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the new key; - is standard input (MESHPKI_PASSPHRASE_FILE)"),
			text("out", "write a copy of the request to `FILE`"),
			toggle("force", "replace the file"),
		)...),
		run: runCACSR,
	}
}

func runCACSR(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "a name for the intermediate")
	if err != nil {
		return err
	}
	if err := checkAuthorityName("name", args[0]); err != nil {
		return err
	}
	if err := c.checkOut(); err != nil {
		return err
	}
	settings, err := c.csrSettings(args[0])
	if err != nil {
		return err
	}
	o, err := c.pendingOptions(settings, args[0])
	if err != nil {
		return err
	}
	if o.KeyURI == "" {
		if o.Passphrase, err = c.newPassphrase("the new key"); err != nil {
			return err
		}
	}
	d, err := c.openOrMake(ctx, settings)
	if err != nil {
		return err
	}
	t := c.transcript("csr-" + args[0])
	p, err := d.AddPending(ctx, o)
	switch {
	case errors.Is(err, file.ErrExists):
		return withHint(err, "meshpki ca show %s%s", args[0], c.dirFlag())
	case errors.Is(err, file.ErrPending):
		return withHint(err, "the request is %s; to make another, delete it", d.RequestPath(args[0]))
	case err != nil:
		return err
	}
	return c.requested(d, p, o, t)
}

// requested keeps the transcript and says what was asked for.
func (c *call) requested(d *file.Directory, p file.Pending, o file.PendingOptions, t *transcript) error {
	doc := ui.CARequested{Name: p.Name, Subject: p.CSR.Subject.String(), CommonName: p.CSR.Subject.CommonName,
		KeyType: string(ca.KeyTypeOf(p.CSR.PublicKey)), KeyLabel: ca.KeyTypeOf(p.CSR.PublicKey).String(),
		KeyFingerprint: keyFingerprint(p.CSR), Request: d.RequestPath(p.Name), PEM: string(requestPEM(p.CSR.Raw)),
		Dir: c.dir(), SignFlags: c.signFlags()}
	path, uri, err := d.KeyPlace(p.Name)
	if err != nil {
		return err
	}
	doc.Key = ui.KeyPlace{Here: path != "", Path: path, URI: uri, Encrypted: len(o.Passphrase) > 0}
	wish, err := ca.Wish(p.CSR)
	if err != nil {
		return err
	}
	for i, text := range attributesOf(wish, true) {
		t.line("asked", attributeNames[i]+": "+text)
	}
	t.line("key", doc.KeyFingerprint)
	if doc.Transcript, err = t.end(d, nil); err != nil {
		return err
	}
	if out := c.String("out"); out != "" {
		if err := c.writeOut(out, []byte(doc.PEM)); err != nil {
			return err
		}
		if out == "-" {
			return nil
		}
	}
	return c.say(doc)
}

// signFlags are those of the flags given here that ca sign has to be given as well.
func (c *call) signFlags() string {
	out := ""
	for _, name := range []string{"for", "max-path-len", "validity", "trust-domain", "spiffe-uri", "permit-dns", "permit-spiffe", "permit-cidr", "permit-email", "permit-only-named"} {
		if !c.IsSet(name) {
			continue
		}
		switch name {
		case "spiffe-uri":
			out += " --spiffe-uri"
		case "permit-only-named":
			out += " --permit-only-named=" + strconv.FormatBool(c.Bool(name))
		case "max-path-len":
			out += " --max-path-len " + strconv.Itoa(c.Int(name))
		case "for", "validity", "trust-domain":
			out += " --" + name + " " + ui.ShellWord(c.String(name))
		default:
			for _, v := range c.values(name) {
				out += " --" + name + " " + ui.ShellWord(v)
			}
		}
	}
	return out
}

// csrSettings are the directory's, or those of the one to be made.
func (c *call) csrSettings(name string) (file.Settings, error) {
	d, err := c.open()
	if err == nil {
		s := d.Settings()
		if c.IsSet("cluster-domain") && c.String("cluster-domain") != s.ClusterDomain {
			return s, usagef("--cluster-domain is of a new directory, and %s is there", c.dir())
		}
		return s, nil
	}
	if !errors.Is(err, file.ErrNoDirectory) {
		return file.Settings{}, err
	}
	td, err := c.trustDomain("trust-domain", "cluster.local")
	if err != nil {
		return file.Settings{}, err
	}
	s := file.Settings{Name: c.or("name", "Mesh"), TrustDomain: td.String(), ClusterDomain: c.or("cluster-domain", "cluster.local"), Issuing: name}
	if _, err := ca.NewIdentity(ca.Names{DNS: []string{"a." + s.ClusterDomain}}); err != nil {
		return s, usagef("--cluster-domain: %q is no domain", s.ClusterDomain)
	}
	return s, nil
}

// openOrMake opens the state directory, or makes one without any authority.
func (c *call) openOrMake(ctx context.Context, s file.Settings) (*file.Directory, error) {
	d, err := c.open()
	if !errors.Is(err, file.ErrNoDirectory) {
		return d, err
	}
	d, err = file.InitEmpty(ctx, c.dir(), s, c.env.Now)
	if !errors.Is(err, file.ErrRecovered) {
		return d, err
	}
	// What was interrupted is finished: if it is what is wanted here, this goes on.
	there, opened := c.open()
	if opened != nil {
		return nil, opened
	}
	if is := there.Settings(); is.Name != s.Name || is.TrustDomain != s.TrustDomain || is.ClusterDomain != s.ClusterDomain || is.Issuing != s.Issuing {
		return nil, err
	}
	return there, nil
}

// pendingOptions reads what is to be asked for.
func (c *call) pendingOptions(s file.Settings, name string) (file.PendingOptions, error) {
	o := file.PendingOptions{Name: name, Open: c.openKey}
	kt, err := c.keyType()
	if err != nil {
		return o, err
	}
	o.KeyType = kt
	if key := c.String("key"); key != "" {
		if !c.env.Registry.IsKey(key) {
			return o, usagef("--key: %q is no key URI; without it the key is made in %s", key, c.dir())
		}
		o.KeyURI = key
	}
	var shape ca.Shape
	if o.Spec, shape, err = c.wishedSpec(s, kt); err != nil {
		return o, err
	}
	o.Spec.CommonName = orElse(c.String("common-name"), orElse(shape.CommonName, c.or("name", s.Name)+" "+name+" CA"))
	if _, err := ca.NewIdentity(ca.Names{Subject: ca.CommonNameOnly(o.Spec.CommonName)}); err != nil {
		return o, usagef("--name, --common-name: %v", err)
	}
	return o, nil
}

// wishedSpec reads the flags that say what an intermediate is to be, but for its name.
func (c *call) wishedSpec(s file.Settings, kt ca.KeyType) (ca.Spec, ca.Shape, error) {
	var spec ca.Spec
	var shape ca.Shape
	td, err := c.trustDomain("trust-domain", s.TrustDomain)
	if err != nil {
		return spec, shape, err
	}
	host := c.String("for") == hostConsumer
	if consumer := c.String("for"); consumer != "" && !host {
		if shape, err = ca.ShapeFor(consumer, td, kt); err != nil {
			return spec, shape, usagef("--for: %v", err)
		}
	}
	if spec.Constraints, err = c.constraints(td); err != nil {
		return spec, shape, err
	}
	if host && spec.Constraints.Empty() {
		return spec, shape, usagef("--for host wants the names that the machine may certify: --permit-dns, --permit-cidr or --permit-spiffe")
	}
	spec.MaxPathLen = shape.MaxPathLen
	if c.IsSet("max-path-len") {
		if spec.MaxPathLen = c.Int("max-path-len"); spec.MaxPathLen < 0 {
			return spec, shape, usagef("--max-path-len: a path length is 0 or more (RFC 5280, Section 4.2.1.9)")
		}
	}
	if shape.URI || c.Bool("spiffe-uri") {
		spec.URI = td
	}
	otherwise := intermediateValidity
	if host {
		otherwise = hostValidity
	}
	life, err := c.caValidity("validity", otherwise)
	if err != nil {
		return spec, shape, err
	}
	now := c.env.Now()
	spec.NotBefore, spec.NotAfter = now.Add(-ca.Backdate), now.Add(life)
	return spec, shape, nil
}

// checkOut refuses an output file that may not be written, before anything is made.
func (c *call) checkOut() error {
	out := c.String("out")
	switch {
	case out == "" || out == "-":
		return nil
	case c.within(out):
		return usagef("--out: %s lies inside the state directory", out)
	case !c.Bool("force") && exists(out):
		return withHint(fmt.Errorf("%s exists", out), "--force replaces it")
	}
	return nil
}

// writeOut writes what others may read to a file, or to standard output for "-".
func (c *call) writeOut(out string, data []byte) error {
	if out == "-" {
		_, err := c.env.Stdout.Write(data)
		return err
	}
	return durable.WriteFile(out, data, 0o644)
}
