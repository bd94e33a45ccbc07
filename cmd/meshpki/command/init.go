package command

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

const (
	year                 = 365 * 24 * time.Hour
	rootValidity         = 10 * year
	intermediateValidity = 3 * year
	// maxValidity keeps dates within what X.509 and its readers can say.
	maxValidity = 100 * year
)

// caFlags are the flags that say what a CA certificate is to be like.
func caFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		text("key-type", "the kind of key: `"+keyTypeNames("|")+"` (default ec-p256)"),
		text("for", "shape it for a `CONSUMER`: "+strings.Join(ca.Consumers(), ", ")+"; an intermediate also for host"),
		toggle("spiffe-uri", "put the trust domain's SPIFFE ID into the CA certificates (X509-SVID, Section 3.2)"),
		many("permit-dns", "constrain it to DNS names within `DOMAIN`; may be repeated"),
		many("permit-spiffe", "constrain it to SPIFFE IDs of `TRUST-DOMAIN`; may be repeated"),
		many("permit-cidr", "constrain it to IP addresses within `CIDR`; may be repeated"),
		many("permit-email", "constrain it to email addresses at `HOST`, or within .DOMAIN; may be repeated"),
		onlyNamed(),
		text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input (MESHPKI_PASSPHRASE_FILE)"),
	)
}

// onlyNamed is the flag that says what becomes of types of names without a --permit flag.
func onlyNamed() cli.Flag {
	return &cli.BoolFlag{Name: "permit-only-named", Value: true, Usage: "with any --permit flag, exclude every type of name that is not permitted; --permit-only-named=false leaves them open"}
}

func keyTypeNames(sep string) string {
	var out []string
	for _, k := range ca.KeyTypes() {
		out = append(out, string(k))
	}
	return strings.Join(out, sep)
}

func initCommand() *command {
	return &command{
		name:    "init",
		summary: "make a root and an issuing intermediate",
		about: "Makes a root and one issuing intermediate in the state directory, ./pki by default: " +
			"the root for 10 years, the intermediate for 3, both valid from five minutes ago, with critical " +
			"basic constraints and no use but to sign certificates and CRLs. An existing authority is never touched.\n\n" +
			"On a terminal it asks for a passphrase for the keys; empty leaves them unencrypted, with a warning. " +
			"Elsewhere the passphrase comes from --passphrase-file, MESHPKI_PASSPHRASE_FILE or MESHPKI_PASSPHRASE.",
		examples: []example{
			{"an authority in ./pki", "meshpki ca init"},
			{"for one trust domain, constrained to it", "meshpki ca init --dir prod --trust-domain prod.example --permit-spiffe prod.example --permit-dns prod.example"},
			{"with the root's key on a stick that can be taken away", "meshpki ca init --dir mesh --offline-root root.key"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused),
		flags: common(caFlags(
			text("name", "the `NAME` in the CAs' subjects (default Mesh)"),
			text("trust-domain", "the SPIFFE `TRUST-DOMAIN` (default cluster.local)"),
			text("cluster-domain", "the `DOMAIN` behind the services' DNS names (default cluster.local)"),
			text("root-validity", "how long the root lives, a `DURATION` (default 10y)"),
			text("intermediate", "the intermediate's `NAME` (default issuing)"),
			text("intermediate-validity", "how long the intermediate lives, a `DURATION` (default 3y)"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
			text("root-key", "keep the root's key where this key `URI` says: it is made there, unless it is there already"),
			text("intermediate-key", "keep the intermediate's key where this key `URI` says"),
			text("log-key", "keep the key that signs the ledger's checkpoints where this key `URI` says"),
			text("offline-root", "write the root's key to `FILE` and not into the directory"),
		)...),
		run: runInit,
	}
}

func runInit(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	o, td, err := c.initOptions()
	if err != nil {
		return err
	}
	// Refused before anyone is asked for a passphrase; Init itself makes sure.
	if _, err := c.open(); err == nil {
		return withHint(fmt.Errorf("%s: %w", c.dir(), file.ErrExists), "meshpki ca list%s shows it; --dir names another directory", c.dirFlag())
	}
	if err := c.initPassphrases(&o); err != nil {
		return err
	}
	d, err := file.Init(ctx, c.dir(), o)
	switch {
	case errors.Is(err, file.ErrExists), errors.Is(err, file.ErrRecovered):
		return withHint(err, "meshpki ca list%s shows it; --dir names another directory", c.dirFlag())
	case errors.Is(err, file.ErrNotEmpty):
		return withHint(err, "choose an empty directory: --dir NAME")
	case err != nil:
		return err
	}
	all, err := d.Authorities()
	if err != nil {
		return err
	}
	doc := ui.Initialised{Dir: c.dir(), TrustDomain: td.String(), ClusterDomain: o.Settings.ClusterDomain,
		Authorities: describeAuthorities(all, c.env.Now()), Now: c.env.Now()}
	doc.OfflineRoot = o.OfflineRoot
	doc.OnePassphrase = len(o.Passphrase) > 0 && o.RootKeyURI == "" && o.KeyURI == "" && string(o.Passphrase) == string(o.RootPassphrase)
	return c.say(doc)
}

// initOptions reads the flags of ca init.
func (c *call) initOptions() (file.InitOptions, spiffeid.TrustDomain, error) {
	var o file.InitOptions
	td, err := c.trustDomain("trust-domain", "cluster.local")
	if err != nil {
		return o, td, err
	}
	name, issuing := c.or("name", "Mesh"), c.or("intermediate", "issuing")
	o.Settings = file.Settings{Name: name, TrustDomain: td.String(), ClusterDomain: c.or("cluster-domain", "cluster.local"), Issuing: issuing}
	if _, err := ca.NewIdentity(ca.Names{DNS: []string{"a." + o.Settings.ClusterDomain}}); err != nil {
		return o, td, usagef("--cluster-domain: %q is no domain", o.Settings.ClusterDomain)
	}
	if err := checkAuthorityName("--intermediate", issuing); err != nil {
		return o, td, err
	}
	shape, kt, err := c.caShape(td)
	if err != nil {
		return o, td, err
	}
	constraints, err := c.constraints(td)
	if err != nil {
		return o, td, err
	}
	o.Now, o.KeyType = c.env.Now, kt
	if o.URLs, err = c.urls(); err != nil {
		return o, td, err
	}
	o.Root = ca.Spec{CommonName: orElse(shape.RootName, name+" Root CA"), MaxPathLen: -1, Constraints: constraints}
	o.Issuing = ca.Spec{CommonName: orElse(shape.CommonName, name+" "+issuing+" CA"), MaxPathLen: shape.MaxPathLen, Constraints: constraints}
	if shape.URI || c.Bool("spiffe-uri") {
		o.Root.URI, o.Issuing.URI = td, td
	}
	for _, cn := range []string{o.Root.CommonName, o.Issuing.CommonName} {
		if _, err := ca.NewIdentity(ca.Names{Subject: ca.CommonNameOnly(cn)}); err != nil {
			return o, td, usagef("--name: %v", err)
		}
	}
	if err := c.caLife(&o); err != nil {
		return o, td, err
	}
	if err := c.keyURIs(&o); err != nil {
		return o, td, err
	}
	if o.OfflineRoot = c.String("offline-root"); o.OfflineRoot != "" {
		if err := c.checkOffline(o.OfflineRoot); err != nil {
			return o, td, err
		}
	}
	return o, td, nil
}

// keyURIs reads where the keys are to be, if not in files.
func (c *call) keyURIs(o *file.InitOptions) error {
	o.RootKeyURI, o.KeyURI, o.LogKeyURI, o.Open = c.String("root-key"), c.String("intermediate-key"), c.String("log-key"), c.openKey
	for _, name := range []string{"root-key", "intermediate-key", "log-key"} {
		if ref := c.String(name); ref != "" && !c.env.Registry.IsKey(ref) {
			return usagef("--%s: that is no key URI: pkcs11:…, tpmkms:… or awskms:… would be", name)
		}
	}
	if o.RootKeyURI != "" && c.IsSet("offline-root") {
		return usagef("--root-key and --offline-root exclude each other")
	}
	if o.RootKeyURI != "" && c.IsSet("root-passphrase-file") {
		return usagef("--root-passphrase-file is of a key in a file, and --root-key names none").withHint("MESHPKI_PIN_FILE names the file with a device's PIN")
	}
	return nil
}

func (c *call) checkOffline(path string) error {
	if c.within(path) {
		return usagef("--offline-root: %s lies inside the state directory", path)
	}
	// Looked at before anything is made; Init itself makes sure.
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", filepath.Dir(path))
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", path, file.ErrKeyFile)
	}
	return nil
}

// caLife reads how long root and intermediate live.
func (c *call) caLife(o *file.InitOptions) error {
	rootLife, err := c.caValidity("root-validity", rootValidity)
	if err != nil {
		return err
	}
	life, err := c.caValidity("intermediate-validity", min(intermediateValidity, rootLife))
	if err != nil {
		return err
	}
	if life > rootLife {
		return usagef("--intermediate-validity: the intermediate would outlive the root")
	}
	now := c.env.Now()
	o.Root.NotBefore, o.Root.NotAfter = now.Add(-ca.Backdate), now.Add(rootLife)
	o.Issuing.NotBefore, o.Issuing.NotAfter = now.Add(-ca.Backdate), now.Add(life)
	return nil
}

func (c *call) caValidity(flag string, otherwise time.Duration) (time.Duration, error) {
	d, err := c.positive(flag, otherwise)
	if err == nil && d > maxValidity {
		return 0, usagef("--%s: at most 100y", flag)
	}
	return d, err
}

// caShape reads the consumer and the key type, which it may limit.
func (c *call) caShape(td spiffeid.TrustDomain) (ca.Shape, ca.KeyType, error) {
	kt, err := c.keyType()
	if err != nil {
		return ca.Shape{}, kt, err
	}
	consumer := c.String("for")
	if consumer == "" || consumer == hostConsumer && c.self.name == "intermediate" {
		return ca.Shape{}, kt, nil
	}
	shape, err := ca.ShapeFor(consumer, td, kt)
	if err != nil {
		return shape, kt, usagef("--for: %v", err)
	}
	return shape, kt, nil
}

func (c *call) keyType() (ca.KeyType, error) {
	if err := oneOf("key-type", c.String("key-type"), strings.Split(keyTypeNames(" "), " ")); err != nil {
		return "", err
	}
	return ca.ParseKeyType(c.String("key-type"))
}

// permits reads the --permit flags as they are.
func (c *call) permits() (ca.Constraints, error) {
	con := ca.Constraints{DNS: c.values("permit-dns"), Email: c.values("permit-email"), Open: !c.Bool("permit-only-named")}
	for _, s := range c.values("permit-spiffe") {
		p, err := spiffeid.ParseTrustDomain(s)
		if err != nil {
			return con, usagef("--permit-spiffe: %v", err)
		}
		con.URI = append(con.URI, p)
	}
	for _, s := range c.values("permit-cidr") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return con, usagef("--permit-cidr: %q is no address range: 10.0.0.0/8 would be", s)
		}
		con.IP = append(con.IP, p.Masked())
	}
	if con.Empty() && c.IsSet("permit-only-named") {
		return con, usagef("--permit-only-named belongs to a --permit flag")
	}
	if con.Open && !con.Empty() {
		c.notice("warning: types of names that no --permit flag names stay open (--permit-only-named=false)")
	}
	return con, nil
}

// constraints are those of a CA of ours: with any --permit flag the trust domain's
// own IDs are permitted too.
func (c *call) constraints(td spiffeid.TrustDomain) (ca.Constraints, error) {
	con, err := c.permits()
	if err != nil {
		return con, err
	}
	if con.Empty() {
		return con, nil
	}
	if len(con.URI) > 0 && td.IsAddress() {
		return con, usagef("trust domain %q is an IP address: no name constraint can permit it (RFC 5280, Section 4.2.1.10)", td)
	}
	if !slices.Contains(con.URI, td) {
		con.URI = append([]spiffeid.TrustDomain{td}, con.URI...)
	}
	if err := con.Validate(); err != nil {
		return con, usagef("%v", err)
	}
	return con, nil
}

// initPassphrases finds the passphrases of the keys to be made: files and
// environment first, then the terminal.
func (c *call) initPassphrases(o *file.InitOptions) error {
	if o.RootKeyURI != "" && o.KeyURI != "" {
		return nil // devices have PINs, and ask for them as they are opened
	}
	var err error
	if f := c.String("root-passphrase-file"); f != "" {
		if o.RootPassphrase, err = c.readSecret(f); err != nil {
			return err
		}
	}
	if o.Passphrase, err = c.newPassphrase("the CA's keys"); err != nil {
		return err
	}
	if len(o.RootPassphrase) == 0 {
		o.RootPassphrase = o.Passphrase
	}
	return nil
}

// newPassphrase asks for a passphrase that does not exist yet: twice on a terminal.
func (c *call) newPassphrase(what string) ([]byte, error) {
	if f := c.passphraseFile(); f != "" {
		return c.readSecret(f)
	}
	if s := c.env.Getenv("MESHPKI_PASSPHRASE"); s != "" {
		return []byte(s), nil
	}
	if !c.env.StdinTTY || c.env.ReadPassword == nil {
		return nil, nil
	}
	return c.promptTwice("passphrase for " + what + " (empty for none): ")
}

// promptTwice asks for a secret that cannot be checked otherwise.
func (c *call) promptTwice(question string) ([]byte, error) {
	first, err := c.prompt(question)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	again, err := c.prompt("the same again: ")
	if err != nil {
		return nil, err
	}
	if string(first) != string(again) {
		return nil, usagef("the two passphrases differ")
	}
	return first, nil
}

// or is a flag's text, or what stands for it when it is not given.
func (c *call) or(name, otherwise string) string { return orElse(c.String(name), otherwise) }

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// checkAuthorityName refuses what cannot name an authority.
func checkAuthorityName(what, name string) error {
	if !file.ValidName(name) || file.IsRootName(name) {
		return usagef("%s: %q is no name for an intermediate: lower-case letters, digits and, inside, '-' only, 1 to 63 of them, not \"root\" or \"log\"", what, name)
	}
	return nil
}
