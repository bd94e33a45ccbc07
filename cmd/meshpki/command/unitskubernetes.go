package command

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// clusterOnly are the flags of units that are for a cluster, and elsewhereOnly those
// that are not.
var (
	clusterOnly   = []string{"namespace", "image", "replicas", "kustomize", "pod", "validity", "monitor", "backend"}
	elsewhereOnly = []string{"service-user", "on-calendar", "program", "passphrase-file"}
)

// labelOf is a name of a Kubernetes object that is also a DNS label.
var labelOf = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// unitsKubernetes makes the objects that run the renewal in a cluster.
func (c *call) unitsKubernetes() error {
	for _, flag := range elsewhereOnly {
		if c.IsSet(flag) {
			return usagef("--%s is for systemd and cron", flag)
		}
	}
	namespace := orElse(c.String("namespace"), "meshpki")
	if !labelOf.MatchString(namespace) {
		return usagef("--namespace: %q is no namespace: letters, digits and '-' only (RFC 1123, Section 2.1)", namespace)
	}
	if c.IsSet("replicas") && !c.Bool("daemon") {
		return usagef("--replicas goes with --daemon: of passes one at a time is enough")
	}
	if c.IsSet("validity") && !c.Bool("pod") {
		return usagef("--validity goes with --pod: the manifest says it of its services")
	}
	if _, err := c.positive("validity", time.Hour); err != nil {
		return err
	}
	k, err := c.forCluster()
	if err != nil {
		return err
	}
	manifest := ""
	if k.m != nil {
		data, err := os.ReadFile(k.m.File)
		if err != nil {
			return err
		}
		manifest = string(data)
	}
	image := orElse(c.String("image"), "meshpki:"+orElse(c.env.Version, "latest"))
	env := map[string]string{}
	manifest, backend, err := c.clusterBackend(manifest)
	if err != nil {
		return err
	}
	if c.Bool("pod") {
		return c.sidecar(renew.Sidecar{Image: image, Backend: orElse(backend, orElse(c.String("backend"), backendOf(k.m))), Namespace: namespace, Env: env, Manifest: manifest, Validity: c.String("validity")})
	}
	cluster := renew.Cluster{Namespace: namespace, Name: "meshpki", Image: image, Manifest: manifest, Secrets: map[string][]string{}, Maps: map[string][]string{}, Rollouts: map[string][]renew.Rollout{},
		Daemon: c.Bool("daemon"), Replicas: 2, Env: env, Monitor: c.Bool("monitor"), Kustomize: c.Bool("kustomize")}
	if c.IsSet("replicas") {
		if cluster.Replicas = c.Int("replicas"); cluster.Replicas < 1 {
			return usagef("--replicas: at least one is needed")
		}
	}
	if err := k.clusterNeeds(&cluster, backend); err != nil {
		return err
	}
	if cluster.Local && c.IsSet("replicas") && cluster.Replicas > 1 {
		return usagef("--replicas %d: a CA of the state directory signs, which one process alone may have", cluster.Replicas).
			withHint("--backend vault:pki/mesh has another sign")
	}
	return c.sayUnits(cluster.Objects())
}

// forCluster finds what is under care. Where others sign, no state directory is needed
// for it: pods make their own.
func (c *call) forCluster() (*care, error) {
	k, err := c.underCare()
	if !errors.Is(err, file.ErrNoDirectory) {
		return k, err
	}
	m, broken := c.manifest()
	if broken != nil {
		return nil, broken
	}
	if c.env.Registry.Local(orElse(c.String("backend"), backendOf(m)), c.options()) {
		return nil, err
	}
	k = &care{c: c, dir: &file.Directory{}, m: m, listed: map[string]int{}}
	if m != nil {
		for i := range m.Services {
			k.listed[m.NamespaceOf(&m.Services[i])+"."+m.Services[i].Name] = i
		}
	}
	return k, nil
}

// clusterBackend gives the manifest another backend, where one is named: a reference to
// Vault gets an entry by which pods log in with their own token.
func (c *call) clusterBackend(manifest string) (text, name string, err error) {
	ref := c.String("backend")
	rest, isVault := strings.CutPrefix(ref, "vault:")
	switch {
	case ref == "":
		return manifest, "", nil
	case !isVault:
		return setBackend(manifest, ref), ref, nil
	}
	mount, role, ok := cutLast(rest, "/")
	if !ok {
		return "", "", usagef("--backend %q: vault:<mount>/<role> is expected", ref)
	}
	if regexp.MustCompile(`(?m)^backends:`).MatchString(manifest) {
		return "", "", usagef("--backend %s: the manifest has backends of its own", ref).withHint("give one of them auth: {kubernetes: {role: meshpki}}, and name it as backend")
	}
	at := orElse(c.env.Getenv("VAULT_ADDR"), "https://vault.vault.svc:8200")
	return setBackend(manifest, "vault") + "backends:\n  vault:\n    vault: {mount: " + mount + ", role: " + role + ", address: \"" + at + "\", auth: {kubernetes: {role: meshpki}}}\n", "vault", nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i <= 0 || i == len(s)-1 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// setBackend says in a manifest who signs.
func setBackend(manifest, ref string) string {
	line := "backend: " + ref
	if manifest == "" {
		return "apiVersion: meshpki/v1\n" + line + "\n"
	}
	if !strings.HasSuffix(manifest, "\n") {
		manifest += "\n"
	}
	if at := regexp.MustCompile(`(?m)^backend:.*$`); at.MatchString(manifest) {
		return at.ReplaceAllLiteralString(manifest, line)
	}
	return regexp.MustCompile(`(?m)^apiVersion:.*$`).ReplaceAllString(manifest, "${0}\n"+line)
}

// clusterNeeds finds what has to be granted.
func (k *care) clusterNeeds(to *renew.Cluster, backend string) error {
	if len(k.listed) == 0 {
		return usagef("units kubernetes goes by a manifest, and there is none, or no service in it").withHint("--config names it")
	}
	var elsewhere []string
	for i := range k.m.Services {
		t, err := k.listedTarget(i)
		if err != nil {
			return err
		}
		for _, p := range t.Places {
			rest, ok := strings.CutPrefix(p.Store.String(), "k8s://")
			if len(p.Layouts) == 0 {
				continue
			}
			if !ok {
				elsewhere = append(elsewhere, p.Store.String())
				continue
			}
			namespace, name, _ := strings.Cut(rest, "/")
			if !slices.Contains(to.Secrets[namespace], name) {
				to.Secrets[namespace] = append(to.Secrets[namespace], name)
			}
		}
		for _, s := range t.Steps {
			if s.Rollout != nil {
				to.Rollouts[s.Rollout.Namespace] = append(to.Rollouts[s.Rollout.Namespace], *s.Rollout)
			}
		}
		ref := orElse(backend, t.Backend)
		to.Local = to.Local || ref != "vault" && k.c.env.Registry.Local(ref, k.c.options())
		if entry, ok := k.c.entries()[ref]; ok {
			ref = entry.Ref
		}
		if signer, ok := strings.CutPrefix(ref, "kubernetes:"); ok && !slices.Contains(to.Signers, signer) {
			to.Signers = append(to.Signers, signer)
		}
		if life, err := lifeOf(renew.Result{Target: t}); err == nil && life.Lifetime > 0 && (to.Shortest == 0 || life.Lifetime < to.Shortest) {
			to.Shortest = life.Lifetime
		}
	}
	k.clusterPublishes(to)
	if len(elsewhere) > 0 {
		return usagef("the places %s are no Secrets: a pod has no directories that last", ui.List(elsewhere, 3)).withHint("k8s://<namespace>/<secret> is a place in a cluster")
	}
	return nil
}

// clusterPublishes finds what has to be granted for the roots.
func (k *care) clusterPublishes(to *renew.Cluster) {
	for _, p := range k.m.Publish {
		pub := publicationOf(p.To, p.Key)
		if pub.Kind == "ConfigMap" {
			to.Maps[pub.Namespace] = append(to.Maps[pub.Namespace], pub.Name)
			continue
		}
		to.Bundles = append(to.Bundles, pub.Name)
		if pub.Signer != "" && !slices.Contains(to.Attested, pub.Signer) {
			to.Attested = append(to.Attested, pub.Signer)
		}
	}
}

// sidecar says what a pod with a certificate of its own needs.
func (c *call) sidecar(s renew.Sidecar) error {
	ref := s.Backend
	if entry, ok := c.entries()[ref]; ok {
		ref = entry.Ref
	}
	if ref != "vault" && c.env.Registry.Local(ref, c.options()) {
		return usagef("--pod: a CA of the state directory would have to be in every pod").withHint("--backend vault:pki/mesh or kubernetes:example.com/mesh has another sign")
	}
	s.Signer = strings.HasPrefix(ref, "kubernetes:")
	if s.Signer && !strings.Contains(s.Manifest, "backends:") {
		s.Manifest = "" // nothing of it is needed
	}
	if i := strings.Index(s.Manifest, "\nservices:"); i >= 0 {
		s.Manifest = withoutServices(s.Manifest)
	}
	return c.sayUnits(s.Objects())
}

// withoutServices leaves of a manifest what says how things are signed.
func withoutServices(manifest string) string {
	var b strings.Builder
	skip := false
	for line := range strings.SplitAfterSeq(manifest, "\n") {
		if line != "" && !strings.ContainsRune(" -\n#", rune(line[0])) {
			skip = strings.HasPrefix(line, "services:") || strings.HasPrefix(line, "defaults:")
		}
		if !skip {
			b.WriteString(line)
		}
	}
	return b.String()
}
