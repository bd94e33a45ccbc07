package renew

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Cluster is what the objects that run the renewal in a Kubernetes cluster have to know.
type Cluster struct {
	Namespace, Name, Image string
	Manifest               string // its text
	// Secrets and Rollouts are what is written and restarted, by namespace.
	Secrets  map[string][]string
	Rollouts map[string][]Rollout
	// Maps are the ConfigMaps that roots are published in, by namespace; Bundles are the
	// ClusterTrustBundles, and Attested the signers that some of them belong to.
	Maps              map[string][]string
	Bundles, Attested []string
	// Local says that a CA of the state directory signs: one replica, with a volume.
	Local bool
	// Signers are the cluster's own that are asked.
	Signers []string
	// Daemon has a Deployment of so many replicas; else there is a CronJob.
	Daemon   bool
	Replicas int
	// Env are variables of the containers.
	Env map[string]string
	// Monitor adds a PodMonitor of the Prometheus operator, for a daemon.
	Monitor bool
	// Kustomize adds a kustomization over the files, which makes the ConfigMap.
	Kustomize bool
	// Shortest is the shortest lifetime under care; zero where nothing is.
	Shortest time.Duration
}

const (
	metricsPort = 9464
	// component is the label that tells the pods of a daemon from those of single passes.
	component = "app.kubernetes.io/component"
)

// Objects are the files: a kind each, in the order in which they are to be applied.
func (c Cluster) Objects() []UnitFile {
	files := []UnitFile{
		{"namespace.yaml", c.namespace()}, {"serviceaccount.yaml", c.account()}, {"rbac.yaml", c.rbac()},
		{"configmap.yaml", c.configMap()}, {"networkpolicy.yaml", c.networkPolicy()},
	}
	if c.Local {
		files = append(files, UnitFile{"volume.yaml", c.volume()})
	}
	if c.Daemon {
		files = append(files, UnitFile{"deployment.yaml", c.deployment()})
	} else {
		files = append(files, UnitFile{"cronjob.yaml", c.cronJob()})
	}
	if c.Monitor && c.Daemon {
		files = append(files, UnitFile{"podmonitor.yaml", c.podMonitor()})
	}
	if c.Kustomize {
		files = c.kustomized(files)
	}
	return files
}

// word quotes a scalar so that YAML reads it as the text that it is.
func word(s string) string {
	text, _ := json.Marshal(s) // a text is always JSON, and JSON is YAML
	return string(text)
}

func words(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = word(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// object begins one: its kind and its name.
func (c Cluster) object(api, kind, name string) string {
	at := ""
	if kind != "Namespace" && !strings.HasPrefix(kind, "Cluster") {
		at = ", namespace: " + c.Namespace
	}
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  {name: %s%s, labels: {app.kubernetes.io/name: %s}}\n", api, kind, name, at, c.Name)
}

func (c Cluster) namespace() string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n", c.Namespace)
}

func (c Cluster) account() string {
	return c.object("v1", "ServiceAccount", c.Name) + "automountServiceAccountToken: false\n"
}

// rule is one line of a Role.
func rule(group, resource string, names []string, verbs ...string) string {
	only := ""
	if len(names) > 0 {
		only = ", resourceNames: " + words(names)
	}
	return fmt.Sprintf("- {apiGroups: [%s], resources: [%s]%s, verbs: %s}\n", word(group), resource, only, words(verbs))
}

// rbac grants each namespace's own: by name, but for create, which RBAC cannot keep to
// names. Nothing is listed and nothing watched.
func (c Cluster) rbac() string {
	rules := map[string]string{}
	for ns, names := range c.Secrets {
		rules[ns] += rule("", "secrets", names, "get", "patch") + rule("", "secrets", nil, "create")
	}
	for ns, names := range c.Maps {
		rules[ns] += rule("", "configmaps", names, "get", "patch") + rule("", "configmaps", nil, "create")
	}
	for ns, list := range c.Rollouts {
		for kind := range strings.FieldsSeq(RolloutKinds) {
			var names []string
			for _, r := range list {
				if r.Kind == kind {
					names = append(names, r.Name)
				}
			}
			if len(names) > 0 {
				rules[ns] += rule("apps", strings.ToLower(kind)+"s", names, "patch")
			}
		}
	}
	if !c.Local {
		rules[c.Namespace] += rule("", "secrets", []string{c.Name + "-state"}, "get", "patch")
		if len(c.Secrets[c.Namespace]) == 0 {
			rules[c.Namespace] += rule("", "secrets", nil, "create")
		}
	}
	var docs []string
	for _, ns := range slices.Sorted(maps.Keys(rules)) {
		docs = append(docs, c.role("", c.Name, ns, rules[ns]))
	}
	if c.Daemon && !c.Local {
		// Of its own, so that no other variant takes it away.
		docs = append(docs, c.role("", c.Name+"-leader", c.Namespace,
			rule("coordination.k8s.io", "leases", []string{c.Name}, "get", "update")+rule("coordination.k8s.io", "leases", nil, "create")))
	}
	if len(c.Signers) > 0 {
		docs = append(docs, c.role("Cluster", c.Namespace+"-"+c.Name, "", "# "+strings.Join(c.Signers, ", ")+"\n"+
			rule("certificates.k8s.io", "certificatesigningrequests", nil, "create", "get", "delete")+
			rule("certificates.k8s.io", "clustertrustbundles", nil, "get", "list")))
	}
	if len(c.Bundles) > 0 {
		rules := rule("certificates.k8s.io", "clustertrustbundles", c.Bundles, "get", "patch") + rule("certificates.k8s.io", "clustertrustbundles", nil, "create")
		if len(c.Attested) > 0 {
			rules += rule("certificates.k8s.io", "signers", c.Attested, "attest")
		}
		docs = append(docs, c.role("Cluster", c.Namespace+"-"+c.Name+"-roots", "", rules))
	}
	return strings.Join(docs, "---\n")
}

// role is a Role, or a ClusterRole, with its binding.
func (c Cluster) role(prefix, name, namespace, rules string) string {
	at := ""
	if namespace != "" {
		at = ", namespace: " + namespace
	}
	return fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: %sRole\nmetadata: {name: %s%s}\nrules:\n%s", prefix, name, at, rules) +
		fmt.Sprintf("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %sRoleBinding\nmetadata: {name: %s%s}\n", prefix, name, at) +
		fmt.Sprintf("roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %sRole, name: %s}\n", prefix, name) +
		fmt.Sprintf("subjects: [{kind: ServiceAccount, name: %s, namespace: %s}]\n", c.Name, c.Namespace)
}

func (c Cluster) configMap() string {
	return c.object("v1", "ConfigMap", c.Name) + "data:\n  meshpki.yaml: " + literal(c.Manifest, "    ")
}

// literal is a text as a block where that says the same, else quoted.
func literal(text, indent string) string {
	plain := strings.HasSuffix(text, "\n") && !strings.HasSuffix(text, "\n\n") && !strings.HasPrefix(text, " ") && !strings.ContainsAny(text, "\t\r\x00")
	for line := range strings.SplitSeq(text, "\n") {
		plain = plain && strings.TrimRight(line, " ") == line
	}
	if !plain {
		return word(text) + "\n"
	}
	var b strings.Builder
	b.WriteString("|\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if line != "" {
			b.WriteString(indent + line)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// networkPolicy lets nothing in, and out to names, the API server and whoever signs:
// their ports, for their addresses are not known here. A daemon is scraped by a policy
// of its own, so that no other variant takes it away.
func (c Cluster) networkPolicy() string {
	out := "  - ports: [{port: 443}, {port: 6443}]          # the API server\n"
	if !c.Local {
		out = "  - ports: [{port: 443}, {port: 6443}, {port: 8200}]   # the API server, and who signs\n"
	}
	policy := c.object("networking.k8s.io/v1", "NetworkPolicy", c.Name) + "spec:\n" +
		"  podSelector: {matchLabels: {app.kubernetes.io/name: " + c.Name + "}}\n  policyTypes: [Ingress, Egress]\n  ingress: []\n" +
		"  egress:\n  - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]\n" + out
	if !c.Daemon {
		return policy
	}
	return policy + "---\n" + c.object("networking.k8s.io/v1", "NetworkPolicy", c.Name+"-metrics") + "spec:\n" +
		"  podSelector: {matchLabels: {app.kubernetes.io/name: " + c.Name + ", " + component + ": daemon}}\n  policyTypes: [Ingress]\n" +
		fmt.Sprintf("  ingress:\n  - ports: [{port: %d}]                      # scrapes and probes\n", metricsPort)
}

func (c Cluster) volume() string {
	return "# The state directory with the CA: copy it there once, and keep a copy elsewhere.\n" + c.object("v1", "PersistentVolumeClaim", c.Name) +
		"spec:\n  accessModes: [ReadWriteOncePod]\n  resources: {requests: {storage: 1Gi}}\n"
}

func (c Cluster) podMonitor() string {
	return c.object("monitoring.coreos.com/v1", "PodMonitor", c.Name) + "spec:\n  selector: {matchLabels: {app.kubernetes.io/name: " + c.Name + ", " + component + ": daemon}}\n" +
		"  podMetricsEndpoints: [{port: metrics}]\n"
}

// kustomized replaces the ConfigMap by one that a kustomization makes, whose name
// changes with the manifest.
func (c Cluster) kustomized(files []UnitFile) []UnitFile {
	var names []string
	var out []UnitFile
	for _, f := range files {
		if f.Name == "configmap.yaml" {
			out = append(out, UnitFile{"meshpki.yaml", c.Manifest})
			continue
		}
		names = append(names, "- "+f.Name+"\n")
		out = append(out, f)
	}
	return append(out, UnitFile{"kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n" + strings.Join(names, "") +
		"configMapGenerator:\n- name: " + c.Name + "\n  namespace: " + c.Namespace + "\n  files: [meshpki.yaml]\n"})
}

// mark changes with the manifest, and has pods replaced that mount it as a file.
func (c Cluster) mark() string {
	sum := sha256.Sum256([]byte(c.Manifest))
	return hex.EncodeToString(sum[:8])
}
