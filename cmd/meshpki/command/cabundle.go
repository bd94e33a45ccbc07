package command

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue/layout"
)

const (
	// refreshHint is how often the readers of a SPIFFE bundle are to look again.
	refreshHint = 5 * time.Minute
	// trustPassword is what Java's own trust store has had since ever: there is nothing
	// secret in one, and its readers want a password all the same.
	trustPassword = "changeit"
)

func bundleCommand() *command {
	return &command{
		name:    "bundle",
		summary: "print the trust bundle: the roots",
		about: "Prints the roots that services are to trust: as PEM, one after the other, or as what some consumer reads. jks and " +
			"pkcs12 are trust stores, with the password changeit unless a file names another. spiffe is a SPIFFE bundle, whose " +
			"sequence number follows the clock. cluster-trust-bundle, trust-manager and configmap are Kubernetes manifests.\n\n" +
			"--publish keeps them in an object of a cluster instead, and records that, so that a rotation of the root waits until " +
			"it has the next bundle. What the manifest names under publish is kept fresh by every pass.",
		examples: []example{
			{"for a client", "meshpki ca bundle > roots.pem"},
			{"into a file, whole or not at all", "meshpki ca bundle --out bundle.pem"},
			{"for Java", "meshpki ca bundle --as pkcs12 --out truststore.p12"},
			{"for every namespace of a cluster", "meshpki ca bundle --as trust-manager"},
			{"where every pod of a namespace can mount them", "meshpki ca bundle --publish configmap:prod/mesh-roots"},
			{"for somebody who is to have the next one too", "meshpki ca bundle --record partner --out partner.pem"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo, codeRefused),
		flags: common(toCluster(
			text("as", "the bundle's form: `"+strings.Join(layout.BundleForms(), "|")+"` (default pem)"),
			text("out", "write it to `FILE` instead of standard output"),
			toggle("force", "replace the file"),
			text("backend", "the roots of the authority elsewhere, a `REF`, in place of the directory's"),
			text("record", "remember that it was handed to `NAME`: a rotation of the root waits until it has been handed out anew"),
			text(keystorePasswordFlag, "the first line of `FILE` is the password of a trust store (default changeit)"),
			text("name", "what a Kubernetes object is called, a `NAME` (default meshpki-roots)"),
			text("namespace", "the `NAMESPACE` of a ConfigMap"),
			text("field", "the `KEY` under which the roots stand in a ConfigMap (default ca.crt)"),
			text("signer", "the `SIGNER` to whom a ClusterTrustBundle belongs, as example.com/mesh"),
			text("refresh-hint", "how often readers of a SPIFFE bundle are to look again, a `DURATION` (default 5m)"),
			many("publish", "keep them in this `OBJECT` of a cluster: configmap:NAMESPACE/NAME or clustertrustbundle:NAME; may be repeated"),
		)...),
		run: runBundle,
	}
}

func runBundle(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	if refs := c.values("publish"); len(refs) > 0 {
		return c.publishBundle(ctx, refs)
	}
	form := c.or("as", "pem")
	if err := oneOf("as", form, layout.BundleForms()); err != nil {
		return err
	}
	format, err := c.format()
	if err != nil {
		return err
	}
	out := c.String("out")
	if out == "-" {
		out = ""
	}
	if err := c.checkBundleOut(out); err != nil {
		return err
	}
	if out == "" && layout.BinaryBundle(form) && c.env.StdoutTTY && format != "json" {
		return usagef("a bundle as %s is not for a terminal", form).withHint("--out FILE writes it to a file")
	}
	if name := c.String("record"); c.IsSet("record") && !file.ValidExport(name) {
		return usagef("--record: %q is no name for whom something is handed to: letters, digits, '.', '_' and '-' only, 1 to 100 of them", name)
	}
	trust, err := c.trust(form)
	if err != nil {
		return err
	}
	if trust.Roots, err = c.bundle(ctx); err != nil {
		return err
	}
	data, err := trust.Bundle(form)
	if err != nil {
		return handError(err)
	}
	if err := c.recordBundle(ctx, trust.Roots); err != nil {
		return err
	}
	switch {
	case out != "":
		return durable.WriteFile(out, data, 0o644)
	case format == "json":
		return c.say(ui.Bundle{PEM: string(pemfile.EncodeCertificates(trust.Roots...)), Fingerprints: fingerprints(trust.Roots)})
	}
	_, err = c.env.Stdout.Write(data)
	return err
}

// trust is what the flags say of the bundle's form.
func (c *call) trust(form string) (layout.Trust, error) {
	t := layout.Trust{Name: c.String("name"), Namespace: c.String("namespace"), Field: c.String("field"), Signer: c.String("signer"),
		Sequence: c.env.Now().Unix(), Refresh: refreshHint}
	for flag, forms := range map[string][]string{
		"name": {"cluster-trust-bundle", "trust-manager", "configmap"}, "namespace": {"configmap"}, "field": {"trust-manager", "configmap"},
		"signer": {"cluster-trust-bundle"}, "refresh-hint": {"spiffe"}, keystorePasswordFlag: {"jks", "pkcs12"},
	} {
		if c.IsSet(flag) && !strings.Contains(" "+strings.Join(forms, " ")+" ", " "+form+" ") {
			return t, usagef("--%s is for --as %s", flag, strings.Join(forms, " and "))
		}
	}
	var err error
	if t.Refresh, err = c.positive("refresh-hint", refreshHint); err != nil {
		return t, err
	}
	if !layout.LockedBundle(form) {
		return t, nil
	}
	t.Password = []byte(trustPassword)
	if c.String(keystorePasswordFlag) != "" || c.env.Getenv("MESHPKI_KEYSTORE_PASSWORD_FILE") != "" {
		var unused string
		if t.Password, err = c.passwordOf(&unused); err != nil {
			return t, err
		}
	}
	return t, nil
}

// checkBundleOut refuses a file that must not be written, before anything is done.
func (c *call) checkBundleOut(out string) error {
	if out == "" {
		return nil
	}
	if c.within(out) {
		return usagef("--out: %s lies inside the state directory", out)
	}
	if _, err := os.Lstat(out); err == nil && !c.Bool("force") {
		return withHint(fmt.Errorf("%s exists", out), "--force replaces it")
	}
	return nil
}
