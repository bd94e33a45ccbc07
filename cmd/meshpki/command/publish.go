package command

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// Kinds of objects in which roots are published, as references have them.
const (
	publishedMap    = "configmap:"
	publishedBundle = "clustertrustbundle:"
)

// publicationOf reads a reference whose form is known to be good.
func publicationOf(ref, key string) backends.Publication {
	if name, ok := strings.CutPrefix(ref, publishedBundle); ok {
		p := backends.Publication{Kind: "ClusterTrustBundle", Name: name}
		if parts := strings.Split(name, ":"); len(parts) == 3 { // a signer's has its name before the bundle's own
			p.Signer = parts[0] + "/" + parts[1]
		}
		return p
	}
	namespace, name, _ := strings.Cut(strings.TrimPrefix(ref, publishedMap), "/")
	return backends.Publication{Kind: "ConfigMap", Namespace: namespace, Name: name, Key: orElse(key, "ca.crt")}
}

// exportOf is the name under which a rotation knows a publication.
func exportOf(ref string) string {
	name := strings.NewReplacer(":", ".", "/", ".").Replace(ref)
	if !file.ValidExport(name) {
		sum := sha256.Sum256([]byte(ref))
		name = name[:60] + "." + hex.EncodeToString(sum[:8])
	}
	return name
}

// publish keeps roots in an object of the cluster, and tells whether that changed it.
func (c *call) publish(ctx context.Context, ref string, pub backends.Publication, roots []*x509.Certificate) (bool, error) {
	for i, r := range roots {
		if slices.ContainsFunc(roots[:i], r.Equal) {
			return false, fmt.Errorf("publish to %s: the root %s stands twice among them", ref, ui.Clean(r.Subject.CommonName))
		}
	}
	pub.Text = string(pemfile.EncodeCertificates(roots...))
	p, err := c.platform()
	if err != nil {
		return false, err
	}
	changed, err := p.Publish(ctx, pub)
	if err != nil {
		return false, fmt.Errorf("publish the roots: %w", &issue.PlaceError{Place: ref, Err: err})
	}
	return changed, nil
}

// recordPublished remembers that a publication has the bundle as it is: a rotation of
// the root waits until it has the next one.
func recordPublished(ctx context.Context, d *file.Directory, ref string, roots []*x509.Certificate) error {
	all, err := d.Exports()
	if err != nil {
		return err
	}
	name := exportOf(ref)
	if slices.ContainsFunc(all, func(e file.Export) bool { return e.Name == name && !e.Stale }) {
		return nil
	}
	return d.RecordExport(ctx, name, file.Handed{}, roots)
}

// publishBundle is ca bundle --publish: once, and without a manifest.
func (c *call) publishBundle(ctx context.Context, refs []string) error {
	var pubs []backends.Publication
	for _, ref := range refs {
		if problem := config.CheckPublication(ref); problem != "" {
			return usagef("--publish: %s", problem)
		}
		pub := publicationOf(ref, c.String("field"))
		pub.Force = c.Bool("force")
		pubs = append(pubs, pub)
	}
	for _, flag := range []string{"as", "out", "record", "name", "namespace", "signer", "refresh-hint", keystorePasswordFlag} {
		if c.IsSet(flag) {
			return usagef("--%s does not go with --publish: the object is named by it, and holds PEM", flag)
		}
	}
	roots, err := c.bundle(ctx)
	if err != nil {
		return err
	}
	doc := ui.Published{Roots: fingerprints(roots)}
	var failed error
	for i, ref := range refs {
		changed, err := c.publish(ctx, ref, pubs[i], roots)
		if err == nil && c.String("backend") == "" {
			var d *file.Directory
			if d, err = c.openToSign(); err == nil {
				err = recordPublished(ctx, d, ref, roots)
			}
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		doc.List = append(doc.List, ui.PublishedObject{To: ref, Changed: changed})
	}
	if len(doc.List) > 0 {
		failed = errors.Join(c.say(doc), failed)
	}
	return failed
}

// publications sees to it that what the manifest publishes is there, and calls tell
// with each that was changed or could not be. It gives how many could not. A dry run
// changes nothing, and tells of what would be.
func (k *care) publications(ctx context.Context, dry bool, tell func(ref string, err error)) (bad int) {
	if k.m == nil {
		return 0
	}
	for _, p := range k.m.Publish {
		changed, err := k.publication(ctx, dry, p)
		if changed || err != nil {
			tell(p.To, err)
		}
		if err != nil {
			bad++
		}
	}
	return bad
}

func (k *care) publication(ctx context.Context, dry bool, p config.Publication) (bool, error) {
	ref := orElse(p.Backend, backendOf(k.m))
	out, err := k.outlook(ctx, ref)
	if err != nil {
		return false, fmt.Errorf("publish the roots to %s: %w", p.To, err)
	}
	if len(out.Roots) == 0 {
		return false, fmt.Errorf("publish the roots to %s: %s has none to tell of", p.To, orElse(ref, "local"))
	}
	pub := publicationOf(p.To, p.Key)
	pub.DryRun = dry
	changed, err := k.c.publish(ctx, p.To, pub, out.Roots)
	if err == nil && !dry && k.c.env.Registry.Local(ref, k.c.options()) {
		err = recordPublished(ctx, k.dir, p.To, out.Roots)
	}
	return changed, err
}

// unpublished takes what is to be published into a plan.
func (p *planned) unpublished(ref string, err error) {
	s := ui.PlannedService{Name: ref, Change: "publish", Listed: true, Reason: "the roots there are others, or none"}
	if err != nil {
		s.Change, s.Reason, s.Problem = "failed", "", plain(err)
	}
	p.doc.List = append(p.doc.List, s)
}

// published is how what the manifest publishes stands.
func (k *care) published(ctx context.Context) []ui.StatusPublication {
	if k.m == nil {
		return nil
	}
	var out []ui.StatusPublication
	for _, p := range k.m.Publish {
		s := ui.StatusPublication{To: p.To, Level: ui.LevelFine}
		switch changed, err := k.publication(ctx, true, p); {
		case err != nil:
			s.Level, s.Problem = ui.LevelError, plain(err)
		case changed:
			s.Level = ui.LevelDue
		}
		out = append(out, s)
	}
	return out
}

// sayPublished is what a pass tells of its publications.
func (c *call) sayPublished(ref string, err error) {
	if err != nil {
		c.notice("warning: %s", plain(err))
		return
	}
	c.notice("the roots are published anew: %s", ref)
}
