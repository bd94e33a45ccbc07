package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/meshpki/meshpki/backends"
)

// Sources reads what a Secret holds, namespace/name, or all Secrets with certificates
// of a namespace, whoever made them: each value is one source. Errors to branch on:
// fs.ErrNotExist, fs.ErrPermission, ca.ErrAway.
func (c *Clusters) Sources(ctx context.Context, rest string, o backends.Options) ([]backends.Source, error) {
	cl, err := c.client(o)
	if err != nil {
		return nil, err
	}
	if strings.Contains(rest, "/") {
		namespace, name, err := parsePlace(rest)
		if err != nil {
			return nil, err
		}
		read := &secret{}
		if err := cl.do(ctx, call{method: http.MethodGet, about: secretAt(namespace, name)}, read); err != nil {
			return nil, err
		}
		return sourcesOf(namespace, name, read), nil
	}
	namespace, _, err := parsePlace(rest + "/all")
	if err != nil {
		return nil, err
	}
	var out []backends.Source
	query := url.Values{"limit": {"200"}, "fieldSelector": {"type=" + typeTLS}}
	for {
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []secret `json:"items"`
		}
		if err := cl.do(ctx, call{method: http.MethodGet, about: secretAt(namespace, ""), query: query}, &page); err != nil {
			return nil, err
		}
		for i := range page.Items {
			out = append(out, sourcesOf(namespace, page.Items[i].Metadata.Name, &page.Items[i])...)
		}
		if page.Metadata.Continue == "" {
			break
		}
		query.Set("continue", page.Metadata.Continue)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("namespace %s has no Secret of type %s", namespace, typeTLS)
	}
	return out, nil
}

func sourcesOf(namespace, name string, s *secret) []backends.Source {
	var out []backends.Source
	for _, key := range names(s.Data) {
		if len(s.Data[key]) > 0 {
			out = append(out, backends.Source{Name: "k8s://" + namespace + "/" + name + "#" + key, Data: s.Data[key]})
		}
	}
	return out
}
