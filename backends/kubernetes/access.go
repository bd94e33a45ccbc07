package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshpki/meshpki/backends"
)

// accountDir is where a pod finds the token of its ServiceAccount, the roots of its
// API server and the name of its namespace.
const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Clusters opens the ways to API servers, each once: whoever asks for the same way
// shares its connections. The zero value is ready; safe for concurrent use.
type Clusters struct {
	mu   sync.Mutex
	open map[string]*client
}

// client gives the way to a cluster. Nothing is asked over it yet.
func (c *Clusters) client(o backends.Options) (*client, error) {
	a := o.Cluster
	key := strings.Join(append([]string{a.Kubeconfig, a.Context, a.As, a.AsUID}, a.AsGroups...), "\x00")
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.open[key]; ok {
		return known, nil
	}
	made, err := connect(a, o.Getenv)
	if err != nil {
		return nil, err
	}
	if c.open == nil {
		c.open = map[string]*client{}
	}
	c.open[key] = made
	return made, nil
}

// connect finds the way to a cluster as kubectl does: the kubeconfig that is named, the
// files of KUBECONFIG, the one in the home directory, or the pod's own ServiceAccount.
func connect(a backends.Cluster, getenv func(string) string) (*client, error) {
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	config, namespace, err := kubeconfig(a, getenv)
	if err != nil {
		return nil, err
	}
	if config == nil {
		if config, namespace, err = inPod(getenv); err != nil {
			return nil, err
		}
	}
	if a.As != "" || a.AsUID != "" || len(a.AsGroups) > 0 {
		if a.As == "" {
			return nil, &backends.RefError{Ref: "--as-group", Problem: "needs --as as well: a group alone is nobody"}
		}
		config.Impersonate = rest.ImpersonationConfig{UserName: a.As, UID: a.AsUID, Groups: a.AsGroups}
	}
	config.UserAgent = "meshpki"
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("the address of the API server: %w", err)
	}
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("the way to %s: %w", base.Host, err)
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return newClient(h, base, namespace), nil
}

// errNoCluster says that nothing leads to a cluster.
var errNoCluster = errors.New("there is no way to a cluster: neither --kubeconfig nor KUBECONFIG nor ~/.kube/config, and this is no pod")

// kubeconfig reads the files that kubectl would read; nil where there are none.
func kubeconfig(a backends.Cluster, getenv func(string) string) (*rest.Config, string, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: a.Kubeconfig}
	switch {
	case a.Kubeconfig != "":
	case getenv("KUBECONFIG") != "":
		rules.Precedence = filepath.SplitList(getenv("KUBECONFIG"))
		rules.WarnIfAllMissing = false
	default:
		home := getenv("HOME")
		if home == "" {
			home = getenv("USERPROFILE")
		}
		if home == "" {
			return nil, "", nil
		}
		file := filepath.Join(home, ".kube", "config")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) && a.Context == "" {
			return nil, "", nil
		}
		rules.Precedence = []string{file}
	}
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: a.Context})
	raw, err := loaded.RawConfig()
	if err != nil {
		return nil, "", fmt.Errorf("the kubeconfig: %w", err)
	}
	current := raw.CurrentContext
	if a.Context != "" {
		current = a.Context
	}
	switch {
	case current == "" && a.Kubeconfig == "" && len(raw.Clusters) == 0:
		return nil, "", nil
	case raw.Contexts[current] == nil:
		return nil, "", &backends.RefError{Ref: current, Problem: "is no context of the kubeconfig: there is " + list(names(raw.Contexts))}
	}
	config, err := loaded.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("the kubeconfig: %w", err)
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("the kubeconfig: %w", err)
	}
	return config, namespace, nil
}

// inPod is the way that a pod has: its token is read again as it rotates.
func inPod(getenv func(string) string) (*rest.Config, string, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, "", errNoCluster
	}
	// A Windows container that is a process of its host has its mounts below this.
	dir := getenv("CONTAINER_SANDBOX_MOUNT_POINT") + accountDir
	token := filepath.Join(dir, "token")
	if _, err := os.ReadFile(token); err != nil {
		return nil, "", fmt.Errorf("this pod has no ServiceAccount's token (automountServiceAccountToken): %w", err)
	}
	namespace, err := os.ReadFile(filepath.Join(dir, "namespace"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "ca.crt")},
		BearerTokenFile: token,
	}, strings.TrimSpace(string(namespace)), nil
}
