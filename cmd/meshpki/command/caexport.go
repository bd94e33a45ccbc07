package command

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

func caExportCommand() *command {
	return &command{
		name:    "export",
		summary: "hand an authority to a mesh that signs by itself",
		args:    "[NAME]",
		about: "Gives a mesh what it loads as its CA: an intermediate with its key and the roots, in the files that it wants, or as " +
			"Kubernetes manifests. It is held against the consumer's own rules first, and refused with their citation, exit code 3, " +
			"if it would not load. NAME may be left out where only one authority fits.\n\n" +
			"Says what has to be restarted, and in which order. What was handed out is recorded: a rotation of the root waits until it " +
			"has been handed out anew. A CA's key is never written to a terminal. --enforce adds what makes mutual TLS mandatory there, " +
			"in steps, the first of which breaks nothing.\n\n" +
			"--for spire and nginx-service-mesh also take an upstream authority that is kept elsewhere (--scheme " +
			"aws_pca|awssecret|vault|cert-manager), by the settings of a backend (--backend) or by its own keys (--set).",
		examples: []example{
			{"for Istio, as a manifest", "meshpki ca export issuing --for istio --manifest > cacerts.yaml"},
			{"for Dapr on this machine", "meshpki ca export issuing --for dapr --out dapr"},
			{"for Kuma, with what makes it mandatory", "meshpki ca export issuing --for kuma --out kuma --enforce"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo, codeRefused),
		flags: common(
			text("for", "who loads it: `"+strings.Join(layout.ConsumerNames(), "|")+"`"),
			text("out", "write the files into the directory `DIR`"),
			toggle("manifest", "as Kubernetes manifests, on standard output or with --out in a file"),
			toggle("enforce", "also what makes mutual TLS mandatory there"),
			text("scheme", "which of the consumer's forms, a `SCHEME`: istio and linkerd have kubernetes.io/tls, kuma universal and mesh-identity"),
			text("namespace", "the `NAMESPACE` of the consumer (default: the one that it is installed in)"),
			text("mesh", "the `MESH` of Kuma (default default)"),
			many("crl", "a CRL to hand out too, a `FILE`; may be repeated: one of each CA"),
			text("backend", "for spire and nginx-service-mesh: the upstream authority, a `REF`"),
			many("set", "for spire and nginx-service-mesh: a `SETTING` of the upstream authority, its key, = and its value; may be repeated"),
			text("record", "whom it is handed to, a `NAME` (default: the consumer's)"),
			toggle("force", "replace files in --out that are there and differ"),
			text("key", "the `FILE` or key URI with the authority's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the authority's key; - is standard input"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
		),
		run: runCAExport,
	}
}

// handing is one export in hand.
type handing struct {
	c         *call
	d         *file.Directory
	consumer  layout.Consumer
	authority file.Authority // the zero value where the CA is kept elsewhere
	h         layout.Handover
	record    string
	out       string
}

func runCAExport(ctx context.Context, c *call) error {
	args, err := c.arguments(0, 1, "")
	if err != nil {
		return err
	}
	x := &handing{c: c, out: c.String("out"), record: c.or("record", c.String("for"))}
	if err := x.flags(); err != nil {
		return err
	}
	if x.d, err = c.openToSign(); err != nil {
		return err
	}
	if err := x.material(args); err != nil {
		return err
	}
	if err := x.judge(); err != nil {
		return err
	}
	if err := x.key(); err != nil {
		return err
	}
	handed, err := x.consumer.Hand(&x.h, c.Bool("enforce"))
	if err != nil {
		return handError(err)
	}
	change, err := x.change()
	if err != nil {
		return err
	}
	return x.release(ctx, handed, change)
}

// handError tells a refusal from words that cannot be meant.
func handError(err error) error {
	if is[*layout.RefusedError](err) {
		return err
	}
	return usagef("%v", err)
}

// flags reads what does not need the directory.
func (x *handing) flags() error {
	c := x.c
	if c.String("for") == "" {
		return usagef("meshpki ca export needs --for: %s", strings.Join(layout.ConsumerNames(), ", ")).withHint("meshpki ca export --for istio --manifest")
	}
	if err := oneOf("for", c.String("for"), layout.ConsumerNames()); err != nil {
		return err
	}
	var err error
	if x.consumer, err = layout.ConsumerByName(c.String("for")); err != nil {
		return usagef("--for: %v", err)
	}
	switch {
	case x.out == "" && !c.Bool("manifest"):
		return usagef("meshpki ca export wants to know where to: --out DIR for files, or --manifest")
	case x.out != "" && c.within(x.out):
		return usagef("--out: %s lies inside the state directory", x.out)
	case x.out == "" && c.wantsJSON():
		return usagef("--manifest is YAML on standard output; with --json it needs --out DIR")
	case x.out == "" && c.env.StdoutTTY && !x.consumer.Keyless:
		return usagef("a CA's key is not for a terminal").withHint("--out DIR writes it to a file; so does > FILE")
	case c.IsSet("record") && !file.ValidExport(x.record):
		return usagef("--record: %q is no name for whom something is handed to: letters, digits, '.', '_' and '-' only, 1 to 100 of them", x.record)
	}
	if x.h.Upstream, err = c.upstream(x.consumer.Name); err != nil {
		return err
	}
	x.h.Scheme, x.h.Namespace, x.h.Mesh, x.h.Now = orElse(c.String("scheme"), x.h.Upstream.Plugin), c.String("namespace"), c.String("mesh"), c.env.Now()
	if x.consumer.Upstreams() {
		x.h.Upstream.Plugin = orElse(x.h.Scheme, "disk")
	}
	if err := x.consumer.Settle(&x.h); err != nil {
		return usagef("--scheme: %v", err)
	}
	return nil
}

// elsewhere tells whether the CA is kept by somebody else.
func (x *handing) elsewhere() bool { return x.consumer.Upstreams() && x.h.Scheme != "disk" }

// material finds the authority and what goes with it.
func (x *handing) material(args []string) error {
	var err error
	if x.h.Roots, err = x.d.Bundle(); err != nil {
		return err
	}
	x.h.TrustDomain, x.h.ClusterDomain = x.d.Settings().TrustDomain, x.d.Settings().ClusterDomain
	for _, name := range x.c.values("crl") {
		crls, err := x.c.readCRLs(name)
		if err != nil {
			return err
		}
		x.h.CRLs = append(x.h.CRLs, crls...)
	}
	if x.elsewhere() {
		if len(args) > 0 {
			return usagef("--scheme %s: the CA is kept elsewhere, and %s is none of its names", x.h.Scheme, args[0])
		}
		return nil
	}
	if len(args) > 0 {
		x.authority, err = x.d.Authority(args[0])
	} else {
		x.authority, err = x.fitting()
	}
	if err != nil {
		return err
	}
	x.h.Chain = chainOf(x.authority)
	return nil
}

// chainOf is an authority with those above it, without the root.
func chainOf(a file.Authority) []*x509.Certificate {
	chain := []*x509.Certificate{a.Certificate}
	for _, above := range a.Above {
		if !bytes.Equal(above.RawSubject, above.RawIssuer) {
			chain = append(chain, above)
		}
	}
	return chain
}

// fitting is the one authority that the consumer would load.
func (x *handing) fitting() (file.Authority, error) {
	all, err := x.d.Authorities()
	if err != nil {
		return file.Authority{}, err
	}
	var fit, near []file.Authority
	for _, a := range all {
		if a.Root() {
			continue // it has to be named
		}
		near = append(near, a)
		h := x.h
		h.Chain = chainOf(a)
		if !slices.ContainsFunc(x.consumer.Findings(&h), func(f inspect.Finding) bool { return f.Severity == inspect.SeverityError }) {
			fit = append(fit, a)
		}
	}
	switch {
	case len(fit) == 1, len(fit) > 1 && x.consumer.Keyless: // of which it gets the roots alone
		return fit[0], nil
	case len(fit) == 0 && len(near) == 1:
		return near[0], nil // judge says what is wrong with it
	case len(fit) == 0:
		return file.Authority{}, usagef("no authority fits %s; name one to hear why", x.consumer.Title).
			withHint("meshpki ca intermediate %s --for %s makes one%s", x.consumer.Name, x.consumer.Name, x.c.dirFlag())
	}
	var names []string
	for _, a := range fit {
		names = append(names, a.Name)
	}
	return file.Authority{}, usagef("several authorities fit %s: %s", x.consumer.Title, strings.Join(names, ", ")).withHint("name one: meshpki ca export %s --for %s …", names[0], x.consumer.Name)
}

// judge holds the authority against the consumer's own rules.
func (x *handing) judge() error {
	var bad []layout.Refusal
	fix := ""
	for _, f := range x.consumer.Findings(&x.h) {
		if f.Severity != inspect.SeverityError {
			x.c.notice("warning: %s: %s (%s)", x.authority.Name, ui.Clean(f.Message), f.Citation)
			continue
		}
		bad = append(bad, layout.Refusal{What: f.Rule + ": " + f.Message, Citation: f.Citation})
		fix = orElse(fix, f.Fix)
	}
	if len(bad) == 0 {
		return nil
	}
	return withHint(&layout.RefusedError{Consumer: x.consumer.Title, Refusals: bad}, "%s", fix)
}

// key opens the authority's key, where it is handed out.
func (x *handing) key() error {
	if x.consumer.Keyless || x.elsewhere() {
		return nil
	}
	issuer, err := x.d.Issuer(x.authority.Name, x.c.keySource())
	if errors.Is(err, file.ErrNoKey) {
		return withHint(err, "--key FILE names the file that holds the key of %s", x.authority.Name)
	}
	if err != nil {
		return err
	}
	x.h.Key = issuer.Signer
	return nil
}

// change compares with what was handed out before.
func (x *handing) change() (layout.Change, error) {
	if x.elsewhere() {
		return layout.ChangeFirst, nil
	}
	all, err := x.d.Exports()
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(e file.Export) bool { return e.Name == x.record })
	if i < 0 {
		return layout.ChangeFirst, nil
	}
	same := all[i].Authority == x.authority.Name && !all[i].Stale
	x.h.Before = all[i].Scheme
	return layout.ChangeOf(all[i].Roots, fingerprints(x.h.Roots), same).In(&x.h), nil
}

// release records the export, and then hands it out.
func (x *handing) release(ctx context.Context, handed *layout.Handed, change layout.Change) error {
	files := handed.Files
	if x.c.Bool("manifest") {
		if handed.Manifest == nil {
			return usagef("%s is not handed a manifest: --out DIR", x.consumer.Title)
		}
		files = issue.Files{x.consumer.Name + ".yaml": {Data: handed.Manifest, Secret: x.h.Key != nil}}
	}
	for _, s := range handed.Enforce {
		files[s.Name] = issue.File{Data: s.Text}
	}
	doc := ui.CAExported{Consumer: x.consumer.Name, Title: x.consumer.Title, Authority: x.authority.Name, Recorded: x.record, Scheme: x.h.Scheme,
		Change: string(change), Restarts: x.consumer.Restarts(&x.h, change), Roots: fingerprints(x.h.Roots), Dir: x.out}
	if len(x.h.Chain) > 0 {
		doc.Fingerprint = ca.Fingerprint(x.h.Chain[0])
	}
	for _, s := range handed.Enforce {
		doc.Enforce = append(doc.Enforce, ui.ExportStep{File: s.Name, Says: s.Says})
	}
	if x.out != "" {
		if err := x.checkOut(files); err != nil {
			return err
		}
	}
	if x.elsewhere() {
		doc.Recorded = "" // nothing of ours is handed out
	} else if err := x.d.RecordExport(ctx, x.record, file.Handed{Authority: x.authority.Name, Scheme: x.h.Scheme}, x.h.Roots); err != nil {
		return err
	}
	if x.out == "" {
		return x.print(handed, doc)
	}
	for _, name := range files.Names() {
		mode := fs.FileMode(0o644)
		if files[name].Secret {
			mode = 0o600
		}
		if err := durable.WriteFile(filepath.Join(x.out, name), files[name].Data, mode); err != nil {
			return err
		}
		doc.Files = append(doc.Files, ui.ExportFile{Name: name, Path: filepath.Join(x.out, name), Secret: files[name].Secret})
	}
	return x.c.say(doc)
}

// checkOut makes the directory, and refuses to replace what is there and differs.
func (x *handing) checkOut(files issue.Files) error {
	if err := os.MkdirAll(x.out, 0o755); err != nil {
		return err
	}
	for _, name := range files.Names() {
		have, err := os.ReadFile(filepath.Join(x.out, name))
		if err == nil && !bytes.Equal(have, files[name].Data) && !x.c.Bool("force") {
			return withHint(fmt.Errorf("%s is there, and differs", filepath.Join(x.out, name)), "--force replaces it")
		}
	}
	return nil
}

// print gives the manifests on standard output, and the words on standard error. What
// makes it mandatory stands behind them as comments: to be applied when its time comes.
func (x *handing) print(handed *layout.Handed, doc ui.CAExported) error {
	var b bytes.Buffer
	b.Write(handed.Manifest)
	for i, s := range handed.Enforce {
		fmt.Fprintf(&b, "# ---\n# Step %d of %d: %s\n", i+1, len(handed.Enforce), strings.ReplaceAll(s.Says, "\n", " "))
		for line := range strings.SplitSeq(strings.TrimSuffix(string(s.Text), "\n"), "\n") {
			b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
		}
	}
	if _, err := x.c.env.Stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	for _, r := range doc.Restarts {
		x.c.notice("to take hold: %s", r)
	}
	return nil
}

// readCRLs reads CRLs, PEM or DER.
func (c *call) readCRLs(name string) ([][]byte, error) {
	data, err := c.readSource(name)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == pemfile.TypeCRL {
			out = append(out, block.Bytes)
		}
	}
	if len(out) == 0 {
		out = [][]byte{data}
	}
	for _, der := range out {
		if _, err := x509.ParseRevocationList(der); err != nil {
			return nil, fmt.Errorf("%s: no CRL in it: %w", name, err)
		}
	}
	return out, nil
}
