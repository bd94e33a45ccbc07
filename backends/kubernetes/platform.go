package kubernetes

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends"
)

// platform is what a cluster can do besides keeping sets.
type platform struct {
	client  *client
	options backends.Options
}

var _ backends.Platform = (*platform)(nil)

// Platform gives what the cluster of these options can do.
func (c *Clusters) Platform(o backends.Options) (backends.Platform, error) {
	cl, err := c.client(o)
	if err != nil {
		return nil, err
	}
	return &platform{cl, o}, nil
}

// Namespace is that of the way to the cluster, or the pod's.
func (p *platform) Namespace() (string, error) { return cmp.Or(p.client.namespace, "default"), nil }

var workloads = map[string]string{"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}

// Restart has the pods of a workload replaced, as kubectl rollout restart does: by an
// annotation of their template. It is ours and says why, so that the same mark of the
// same service restarts nothing a second time.
func (p *platform) Restart(ctx context.Context, w backends.Workload, by, mark string) error {
	resource, ok := workloads[w.Kind]
	if !ok {
		return fmt.Errorf("a %s cannot be restarted: %s can", w.Kind, strings.Join(names(workloads), ", "))
	}
	at := thing{group: "apps", version: "v1", resource: resource, kind: w.Kind, namespace: w.Namespace, name: w.Name}
	err := p.client.do(ctx, call{method: http.MethodPatch, about: at, media: asMerge, query: url.Values{"fieldManager": {manager}}, body: map[string]any{
		"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{"renewed." + domain + by: mark}}}},
	}}, nil)
	return err
}

// pod is a Pod, as far as its mounts go.
type pod struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Volumes []struct {
			Name   string `json:"name"`
			Secret *struct {
				Name string `json:"secretName"`
			} `json:"secret"`
			Projected *struct {
				Sources []struct {
					Secret *struct {
						Name string `json:"name"`
					} `json:"secret"`
				} `json:"sources"`
			} `json:"projected"`
		} `json:"volumes"`
		Containers     []container `json:"containers"`
		InitContainers []container `json:"initContainers"`
	} `json:"spec"`
}

type container struct {
	Name   string `json:"name"`
	Mounts []struct {
		Name        string `json:"name"`
		SubPath     string `json:"subPath"`
		SubPathExpr string `json:"subPathExpr"`
	} `json:"volumeMounts"`
	Env []struct {
		From *struct {
			Secret *struct {
				Name string `json:"name"`
			} `json:"secretKeyRef"`
		} `json:"valueFrom"`
	} `json:"env"`
	EnvFrom []struct {
		Secret *struct {
			Name string `json:"name"`
		} `json:"secretRef"`
	} `json:"envFrom"`
}

// Blind names the pods that never see a Secret change: those that mount it by subPath,
// and those that have it in their environment. Each namespace is listed once.
func (p *platform) Blind(ctx context.Context, places []string) (map[string][]string, error) {
	wanted := map[string][]string{}
	for _, place := range places {
		namespace, name, err := parsePlace(strings.TrimPrefix(place, "k8s://"))
		if err != nil {
			return nil, err
		}
		wanted[namespace] = append(wanted[namespace], name)
	}
	out := map[string][]string{}
	for _, namespace := range names(wanted) {
		query := url.Values{"limit": {"500"}}
		for {
			var page struct {
				Metadata struct {
					Continue string `json:"continue"`
				} `json:"metadata"`
				Items []pod `json:"items"`
			}
			at := thing{version: "v1", resource: "pods", kind: "Pod", namespace: namespace}
			if err := p.client.do(ctx, call{method: http.MethodGet, about: at, query: query}, &page); err != nil {
				return nil, err
			}
			for i := range page.Items {
				for secret, how := range page.Items[i].blind() {
					if slices.Contains(wanted[namespace], secret) {
						place := "k8s://" + namespace + "/" + secret
						out[place] = append(out[place], fmt.Sprintf("pod %s (%s)", page.Items[i].Metadata.Name, how))
					}
				}
			}
			if page.Metadata.Continue == "" {
				break
			}
			query.Set("continue", page.Metadata.Continue)
		}
	}
	return out, nil
}

// blind tells which Secrets a pod has in a way that never changes, and how.
func (p *pod) blind() map[string]string {
	volumes := map[string][]string{}
	for _, v := range p.Spec.Volumes {
		if v.Secret != nil {
			volumes[v.Name] = append(volumes[v.Name], v.Secret.Name)
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.Secret != nil {
					volumes[v.Name] = append(volumes[v.Name], s.Secret.Name)
				}
			}
		}
	}
	out := map[string]string{}
	for _, c := range p.Spec.Containers { // init containers have ended
		for _, m := range c.Mounts {
			if m.SubPath != "" || m.SubPathExpr != "" {
				for _, secret := range volumes[m.Name] {
					out[secret] = "subPath in container " + c.Name
				}
			}
		}
		for _, e := range c.Env {
			if e.From != nil && e.From.Secret != nil {
				out[e.From.Secret.Name] = "environment of container " + c.Name
			}
		}
		for _, e := range c.EnvFrom {
			if e.Secret != nil {
				out[e.Secret.Name] = "environment of container " + c.Name
			}
		}
	}
	return out
}
