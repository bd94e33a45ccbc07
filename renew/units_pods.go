package renew

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What every container of ours is kept to: restricted Pod Security, and a root file
// system that nothing is written to.
const (
	podSecurity       = "{runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}"
	containerSecurity = "{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}"
	containerNeeds    = "{requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 128Mi}}"
)

// args are the words of the container's command.
func (c Cluster) args() []string {
	args := []string{"renew", "--dir=/state", "--config=/etc/meshpki/meshpki.yaml"}
	if !c.Local {
		args = append(args, "--state=k8s://"+c.Namespace+"/"+c.Name+"-state")
	}
	if !c.Daemon {
		return args
	}
	args = append(args, "--daemon", fmt.Sprintf("--metrics=0.0.0.0:%d", metricsPort))
	if !c.Local {
		args = append(args, "--leader-elect", "--lease="+c.Namespace+"/"+c.Name)
	}
	return args
}

// pod is the template of the pods, indented.
func (c Cluster) pod(indent string) string {
	state := "emptyDir: {medium: Memory, sizeLimit: 64Mi}"
	if c.Local {
		state = "persistentVolumeClaim: {claimName: " + c.Name + "}"
	}
	more, restart, part := "", "restartPolicy: Never\n", "pass"
	if c.Daemon {
		restart, part = "", "daemon"
		more = fmt.Sprintf("  ports: [{name: metrics, containerPort: %d}]\n  livenessProbe: {tcpSocket: {port: metrics}, periodSeconds: 30}\n"+
			"  readinessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 30}\n", metricsPort)
	}
	if len(c.Env) > 0 {
		more += "  env:\n" + environ(c.Env)
	}
	text := fmt.Sprintf("metadata:\n  labels: {app.kubernetes.io/name: %s, %s: %s}\n  annotations: {meshpki.github.io/manifest: %s}\nspec:\n", c.Name, component, part, word(c.mark())) +
		shift(restart+"serviceAccountName: "+c.Name+"\nautomountServiceAccountToken: true\nsecurityContext: "+podSecurity+"\ncontainers:\n- name: meshpki\n  image: "+word(c.Image)+
			"\n  args: "+words(c.args())+"\n"+more+"  resources: "+containerNeeds+"\n  securityContext: "+containerSecurity+"\n  volumeMounts:\n"+
			"  - {name: state, mountPath: /state}\n"+
			"  # As a file: a directory of a ConfigMap may be written by all in its pod.\n"+
			"  - {name: manifest, mountPath: /etc/meshpki/meshpki.yaml, subPath: meshpki.yaml}\n"+
			"volumes:\n- {name: state, "+state+"}\n- {name: manifest, configMap: {name: "+c.Name+"}}\n", "  ")
	return shift(text, indent)
}

func environ(env map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "  - {name: %s, value: %s}\n", name, word(env[name]))
	}
	return b.String()
}

// shift indents every line.
func shift(text, indent string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		b.WriteString(indent + line + "\n")
	}
	return b.String()
}

func (c Cluster) cronJob() string {
	_, _, when := Unit{Shortest: c.Shortest}.step()
	return c.object("batch/v1", "CronJob", c.Name) + "spec:\n  schedule: " + word(when) + "\n  concurrencyPolicy: Forbid\n  startingDeadlineSeconds: 300\n" +
		"  successfulJobsHistoryLimit: 1\n  failedJobsHistoryLimit: 3\n  jobTemplate:\n    spec:\n      backoffLimit: 0\n      activeDeadlineSeconds: 1800\n      template:\n" + c.pod("        ")
}

func (c Cluster) deployment() string {
	replicas, strategy := max(c.Replicas, 1), "RollingUpdate"
	if c.Local {
		replicas, strategy = 1, "Recreate"
	}
	return c.object("apps/v1", "Deployment", c.Name) + fmt.Sprintf("spec:\n  replicas: %d\n  strategy: {type: %s}\n  selector: {matchLabels: {app.kubernetes.io/name: %s}}\n  template:\n",
		replicas, strategy, c.Name) + c.pod("    ")
}

// Sidecar is what a pod needs that keeps a certificate of its own: an init container that
// has it issued into a memory volume, and one beside the application that renews it. The
// identity is the pod's ServiceAccount; no key of a CA is in the pod.
type Sidecar struct {
	Image, Backend, Namespace string
	Manifest                  string // with the backend's settings; "" where there are none
	Signer                    bool   // the backend is the cluster's own
	Env                       map[string]string
	Validity                  string // of the certificate; "" is the profile's
	Local                     bool
}

// Objects are a pod with both containers, to be taken over into a workload's template,
// its ServiceAccount and what that needs.
func (s Sidecar) Objects() []UnitFile {
	c := Cluster{Namespace: s.Namespace, Name: "payment", Manifest: s.Manifest}
	files := []UnitFile{{"serviceaccount.yaml", c.account()}}
	if s.Signer {
		c.Signers = []string{strings.TrimPrefix(s.Backend, "kubernetes:")}
		c.Local = true // it writes no Secret, and elects nobody
		files = append(files, UnitFile{"rbac.yaml", c.rbac()})
	}
	if s.Manifest != "" {
		files = append(files, UnitFile{"configmap.yaml", c.configMap()})
	}
	return append(files, UnitFile{"pod.yaml", s.pod(c)})
}

func (s Sidecar) pod(c Cluster) string {
	issue := []string{"issue", "--dir=/state", "--service=$(POD_SERVICE_ACCOUNT)", "--namespace=$(POD_NAMESPACE)", "--backend=" + s.Backend, "--out=/tls", "--if-due"}
	if s.Validity != "" {
		issue = append(issue, "--validity="+s.Validity)
	}
	renew := []string{"renew", "--dir=/state", "--daemon"}
	mounts, volumes := "  - {name: state, mountPath: /state}\n  - {name: tls, mountPath: /tls}\n", ""
	if s.Manifest != "" {
		issue, renew = append(issue, "--config=/etc/meshpki/meshpki.yaml"), append(renew, "--config=/etc/meshpki/meshpki.yaml")
		mounts += "  - {name: manifest, mountPath: /etc/meshpki/meshpki.yaml, subPath: meshpki.yaml}\n"
		volumes = "- {name: manifest, configMap: {name: " + c.Name + "}}\n"
	}
	one := func(name string, args []string, more string) string {
		return "- name: " + name + "\n  image: " + word(s.Image) + "\n  args: " + words(args) + "\n" + more + "  env:\n" +
			"  - {name: POD_SERVICE_ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}\n" +
			"  - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}\n" + environ(s.Env) +
			"  resources: " + containerNeeds + "\n  securityContext: " + containerSecurity + "\n  volumeMounts:\n" + mounts
	}
	return "# The key is readable by this user and group alone: the application runs as the same.\n" + c.object("v1", "Pod", c.Name) + "spec:\n" + shift(
		"serviceAccountName: "+c.Name+"\nautomountServiceAccountToken: true\nsecurityContext: "+podSecurity+"\ninitContainers:\n"+
			one("issue", issue, "")+one("renew", renew, "  restartPolicy: Always                     # a sidecar: it ends after the application\n")+
			"containers:\n- name: app\n  image: registry.example.com/payment:1\n  resources: "+containerNeeds+"\n  securityContext: "+containerSecurity+
			"\n  volumeMounts:\n  - {name: tls, mountPath: /tls, readOnly: true}\n"+
			"volumes:\n- {name: tls, emptyDir: {medium: Memory, sizeLimit: 1Mi}}\n- {name: state, emptyDir: {medium: Memory, sizeLimit: 16Mi}}\n"+volumes, "  ")
}
