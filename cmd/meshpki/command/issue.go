package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

func issueCommand() *command {
	return &command{
		name:    "issue",
		summary: "issue a certificate for a service",
		about: "Makes a key, has it certified for the service, and writes chain, key and roots as one set: " +
			"tls.crt, tls.key and ca.crt in <dir>/services/<namespace>/<service>/ unless --out and --layout say " +
			"otherwise. The certificate is an X509-SVID: one SPIFFE ID, spiffe://<trust domain>/ns/<namespace>/sa/<service>, " +
			"with the service's cluster DNS names beside it. It lives 30 days, and never longer than its issuer.\n\n" +
			"A service that has a certificate is left alone unless --force or --if-due is given; the generation that is " +
			"replaced is kept beside the new one.\n\n" +
			"--csr certifies somebody else's key: of the request only the key and its proof are taken. --file issues for " +
			"every service of a manifest that is new, changed or due; or for cert-manager's Certificates, in YAML as a " +
			"cluster has it, once --map-issuer or the manifest says which backend each issuer is.",
		examples: []example{
			{"a workload in namespace prod", "meshpki issue --service payment --namespace prod"},
			{"with another name and an address, for 7 days", "meshpki issue --service gateway --dns www.example.com --ip 10.0.0.5 --validity 7d"},
			{"from cron: only if it is due", "meshpki issue --service payment --namespace prod --if-due"},
			{"see what would be made", "meshpki issue --service account --dry-run"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused, codePartial),
		flags: common(remembering(issueFlags()...)...),
		run:   runIssue,
	}
}

func issueFlags() []cli.Flag {
	return []cli.Flag{
		text("service", "the service's `NAME`, a label of lower-case letters, digits and -"),
		text("namespace", "its `NAMESPACE` (default: the manifest's, else default)"),
		many("dns", "a DNS `NAME` beside the default ones; may be repeated"),
		many("ip", "an IP `ADDRESS`; may be repeated"),
		many("uri", "a `URI`, with --identity kuma or plain; may be repeated"),
		many("email", "an email `ADDRESS`; may be repeated"),
		text("spiffe-id", "the SPIFFE `ID`, where it is another than the default"),
		text("trust-domain", "the `TRUST-DOMAIN` (default: the directory's)"),
		text("cluster-domain", "the `DOMAIN` behind the DNS names (default: the directory's)"),
		text("identity", "name it as this mesh does: `istio|dapr|kuma|consul|linkerd|plain`"),
		text("datacenter", "Consul's `DATACENTER`, with --identity consul"),
		toggle("short-names", "the bare service name as DNS name in whatever namespace"),
		toggle("no-default-dns", "no DNS names but those of --dns"),
		text("common-name", "the subject's common `NAME` (default: the service's name)"),
		text("subject", "the whole subject, a `DN`: CN=payment,O=Example"),
		toggle("no-subject", "leave the subject empty"),
		text("profile", "what it may be used for; the manifest may have more: `"+strings.Join(ca.ProfileNames(), "|")+"` (default workload)"),
		text("validity", "how long it lives, a `DURATION`: 30d, 24h (default 30d, cut to the issuer's end)"),
		text("not-after", "when it ends, a `TIME`: RFC 3339, or a duration from now"),
		text("key-type", "the kind of key: `"+keyTypeNames("|")+"` (default ec-p256)"),
		toggle("reuse-key", "certify the key that is in place instead of a new one"),
		text("csr", "certify the key of the request in `FILE`; - is standard input"),
		text("backend", "who signs, a `REFERENCE`: local, local:<intermediate>, vault:<mount>/<role>, awspca:<arn>, acme:<URL>, kubernetes:<signerName>, or a name under backends in the manifest (default: the manifest's, else local)"),
		many("layout", "the files to write: `"+strings.Join(layout.Names(), "|")+"` (default tls), some with an option, as pem:sec1; may be repeated"),
		many("out", "the `PLACE` to write to, a directory; may be repeated; - prints the chain, with --csr"),
		text(keystorePasswordFlag, "the first line of `FILE` is the password of the keystores of layout pkcs12 or jks"),
		text("swap", "how the files in --out are replaced: `directory|files` (default directory)"),
		text("key", "the `FILE` or key URI with the CA's key, where it is not in the directory"),
		text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input"),
		text("file", "issue for every service of a manifest, or every Certificate of cert-manager in a `FILE`"),
		many("map-issuer", "with Certificates: NAME=REF, an `ISSUER` and the backend that it is here; may be repeated"),
		toggle("dry-run", "show what would be made; sign and write nothing"),
		toggle("if-due", "do nothing if the certificate in place is as ordered and not due"),
		toggle("force", "issue although there is a certificate, or other files are in the way"),
	}
}

func runIssue(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	if c.String("file") != "" {
		return c.issueFile(ctx)
	}
	job, err := c.job(ctx)
	if err != nil {
		return err
	}
	done, err := job.run(ctx)
	if err != nil {
		return err
	}
	if job.toStdout {
		_, err := c.env.Stdout.Write(pemfile.EncodeCertificates(done.chain...))
		return err
	}
	job.tellLeftOut(done)
	return c.say(ui.Issued{Done: done.document(), Now: c.env.Now()})
}

// job is one certificate to be issued: the order, and where it goes.
type job struct {
	c        *call
	dir      *file.Directory
	record   issue.Record
	profile  ca.Profile // that the record names
	notAfter time.Time
	csr      []byte
	from     string // issue.FromManifest, or by hand
	at       string // where a file has the order: mesh.yaml:12; "" by hand
	list     *config.Manifest
	index    int // of the order in list
	backend  string
	outputs  []issue.Output
	shown    []string         // the places as they were given
	named    [][]layout.Named // of each of outputs
	names    []string         // of the files to come
	// register is the service's own place, where the order is remembered when the
	// files go elsewhere; nil where they go there.
	register          issue.Store
	seen              map[issue.Store]loaded
	force, ifDue, dry bool
	reuse, toStdout   bool
	understood        bool // the order is known to be one that can be
}

// job reads the flags of issue.
func (c *call) job(ctx context.Context) (*job, error) {
	if err := c.checkIssueFlags(); err != nil {
		return nil, err
	}
	r, err := c.recordOfFlags()
	if err != nil {
		return nil, err
	}
	j := &job{c: c, force: c.Bool("force"), ifDue: c.Bool("if-due"), dry: c.Bool("dry-run"), reuse: c.Bool("reuse-key")}
	// What is wrong with the words comes before what is wrong with the world.
	words := r
	words.TrustDomain, words.Namespace = orElse(r.TrustDomain, "cluster.local"), orElse(r.Namespace, "default")
	if _, err := words.Wish(); err != nil {
		return nil, err
	}
	m, err := c.manifest()
	if err != nil {
		return nil, err
	}
	if err := oneOf("profile", r.Profile, m.ProfileNames()); err != nil {
		return nil, err
	}
	if j.profile, err = m.Profile(r.Profile); err != nil {
		return nil, err
	}
	r.ProfileForm = j.profile.Form()
	if !c.IsSet("key-type") {
		r.KeyType = string(j.profile.KeyType())
	}
	if r.Backend == "" && m != nil {
		r.Backend = backendOf(m)
	}
	if j.backend = r.Backend; m != nil {
		j.backend = resolveBackend(m, r.Backend)
	}
	if j.dir, err = c.openToIssue(ctx, j.backend, m); err != nil {
		return nil, err
	}
	settle(&r, j.dir, m)
	if s := c.String("not-after"); s != "" {
		if j.notAfter, err = config.ParseTime(s, c.env.Now()); err != nil {
			return nil, usagef("--not-after: %v", err)
		}
	}
	if j.csr, err = c.readCSR(); err != nil {
		return nil, err
	}
	r.Foreign = j.csr != nil
	j.record = r
	if _, _, err := r.Order(j.profile, nil, c.env.Now(), j.notAfter); err != nil {
		return nil, err
	}
	return j, j.places(c.values("out"), c.values("layout"), c.String("swap"), "")
}

// checkIssueFlags refuses flags that contradict each other.
func (c *call) checkIssueFlags() error {
	if c.String("service") == "" && !c.IsSet("service") {
		return usagef("meshpki issue needs --service NAME, or --file FILE for several").withHint("meshpki issue --service payment")
	}
	for _, pair := range [][2]string{
		{"validity", "not-after"}, {"csr", "key-type"}, {"csr", "reuse-key"}, {"reuse-key", "key-type"}, {"force", "if-due"},
	} {
		if c.IsSet(pair[0]) && c.IsSet(pair[1]) {
			return usagef("--%s and --%s exclude each other", pair[0], pair[1])
		}
	}
	kinds := make([]string, 0, len(issue.Kinds()))
	for _, k := range issue.Kinds() {
		kinds = append(kinds, string(k))
	}
	return oneOf("identity", c.String("identity"), kinds)
}

// recordOfFlags is the order as the flags give it; what they do not is left empty.
func (c *call) recordOfFlags() (issue.Record, error) {
	kt, err := c.keyType()
	if err != nil {
		return issue.Record{}, err
	}
	r := issue.Record{
		Service: c.String("service"), Namespace: c.String("namespace"),
		TrustDomain: c.String("trust-domain"), Cluster: c.String("cluster-domain"),
		Kind: issue.Kind(c.String("identity")), Datacenter: c.String("datacenter"), SPIFFEID: c.String("spiffe-id"),
		DNS: c.values("dns"), IP: c.values("ip"), Email: c.values("email"), URI: c.values("uri"),
		ShortNames: c.Bool("short-names"), NoDNS: c.Bool("no-default-dns"),
		CommonName: c.String("common-name"), Subject: c.String("subject"), NoSubject: c.Bool("no-subject"),
		Profile: c.or("profile", "workload"), KeyType: string(kt), Backend: c.String("backend"),
	}
	life, err := c.positive("validity", 0)
	if err != nil {
		return r, err
	}
	if life > 0 {
		r.Validity = life.String()
	}
	return r, nil
}

// settle fills in what the directory and its manifest know.
func settle(r *issue.Record, d *file.Directory, m *config.Manifest) {
	s := d.Settings()
	if m != nil {
		r.TrustDomain = orElse(r.TrustDomain, m.TrustDomain)
		r.Cluster = orElse(r.Cluster, m.ClusterDomain)
		r.Namespace = orElse(r.Namespace, m.Defaults.Namespace)
	}
	// Where there is no directory yet, they are those that it would be made with.
	r.TrustDomain = orElse(r.TrustDomain, orElse(s.TrustDomain, "cluster.local"))
	r.Cluster = orElse(r.Cluster, orElse(s.ClusterDomain, "cluster.local"))
	r.Namespace = orElse(r.Namespace, "default")
}

// readCSR reads somebody else's request, PEM or DER; nil where none was named.
func (c *call) readCSR() ([]byte, error) {
	name := c.String("csr")
	if name == "" {
		return nil, nil
	}
	csr, err := c.readRequest(name)
	if err != nil {
		return nil, err
	}
	return csr.Raw, nil
}

// places settles where the files go.
func (j *job) places(outs, layouts []string, swap, keystore string) error {
	if len(layouts) == 0 {
		layouts = []string{layout.Default}
	}
	own := j.dir.ServicePath(j.record.Namespace, j.record.Service)
	if len(outs) == 0 {
		outs = []string{own}
	}
	if slices.Contains(outs, "-") {
		if len(outs) > 1 || j.csr == nil {
			return usagef("--out -: only a chain without its key is printed, with --csr and to nowhere else")
		}
		j.toStdout = true
		return nil
	}
	for _, out := range outs {
		j.record.Outputs = append(j.record.Outputs, issue.RecordOutput{To: out, Layouts: layouts, Swap: swap, Keystore: keystore})
	}
	return j.open(own)
}

// open opens the places of the record, and spells them so that the order is the
// same from wherever it is given.
func (j *job) open(own string) error {
	for i, o := range j.record.Outputs {
		j.shown = append(j.shown, o.To)
		place, err := j.spelled(o.To, own)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(j.record.Outputs[:i], func(other issue.RecordOutput) bool { return other.To == place }) {
			return usagef("the place %s is given twice", o.To)
		}
		j.record.Outputs[i].To = place
		named, err := j.layouts(&j.record.Outputs[i])
		if err != nil {
			return err
		}
		j.named = append(j.named, named)
		store, err := j.c.env.Registry.Store(o.To, j.c.options())
		if err != nil {
			return err
		}
		switch o.Swap {
		case issue.SwapDirectory:
			j.record.Outputs[i].Swap = "" // the same order as without
		case "", issue.SwapFiles:
		default:
			return usagef("--swap %q: %s or %s is expected", o.Swap, issue.SwapDirectory, issue.SwapFiles)
		}
		out := issue.Output{Store: store, Owner: o.Owner, Group: o.Group, Swap: j.record.Outputs[i].Swap, Labels: o.Labels, Annotations: o.Annotations}
		if o.Mode != "" {
			if out.Mode, err = config.ParseMode(o.Mode); err != nil {
				return usagef("mode: %v", err)
			}
		}
		for _, l := range named {
			out.Layouts = append(out.Layouts, l.Layout)
			for _, f := range l.Files {
				if !slices.Contains(j.names, f) {
					j.names = append(j.names, f)
				}
			}
		}
		j.outputs = append(j.outputs, out)
	}
	kept, err := j.c.statePlace()
	if err != nil {
		return err
	}
	// In a cluster the directory goes with the pod; the manifest knows what is ordered.
	lasting := kept == "" || j.from != issue.FromManifest
	if lasting && !slices.ContainsFunc(j.record.Outputs, func(o issue.RecordOutput) bool { return o.To == "" }) {
		j.register = file.NewStore(own)
	}
	return nil
}

// spelled is a place in its one spelling; "" for the service's own.
func (j *job) spelled(to, own string) (string, error) {
	if to == own {
		return "", nil
	}
	ownPlace, err := backends.Canonical(own)
	if err != nil {
		return "", err
	}
	place, err := backends.Canonical(to)
	switch {
	case err != nil:
		return "", err
	case place == ownPlace:
		return "", nil
	case j.c.within(place):
		return "", usagef("the place %s lies inside the state directory, where this service has %s", to, own)
	}
	return place, nil
}

// errExists says that a service has its certificate.
var errExists = errors.New("has a certificate already")

// existing decides what is to be done about a service that has a certificate.
func (j *job) existing(ctx context.Context) (present *issued, err error) {
	present, err = j.present(ctx)
	if err != nil || present == nil || j.force {
		return nil, err
	}
	if !j.ifDue {
		return nil, withHint(fmt.Errorf("%s %w: serial %s, until %s", j.label(), errExists,
			ca.FormatSerial(present.leaf().SerialNumber), ui.Date(present.leaf().NotAfter)),
			"--if-due renews it when it is due, --force at once")
	}
	return present, nil
}

// label names the service for people.
func (j *job) label() string { return j.record.Service + "." + j.record.Namespace }
