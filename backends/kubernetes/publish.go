package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/issue"
)

// published is a ConfigMap or a ClusterTrustBundle, as far as we look at it.
type published struct {
	Metadata meta              `json:"metadata"`
	Data     map[string]string `json:"data"`
	Spec     struct {
		Bundle string `json:"trustBundle"`
	} `json:"spec"`
}

// Publish applies a ConfigMap or a ClusterTrustBundle over what is there, by the
// resourceVersion that was read, and only if the text is another. Other keys of a
// ConfigMap stay. Errors to branch on: a *ConflictError, issue.ErrChanged,
// fs.ErrPermission, ca.ErrAway.
func (p *platform) Publish(ctx context.Context, pub backends.Publication) (bool, error) {
	if pub.Kind == "ConfigMap" {
		return p.publish(ctx, configMapAt(pub.Namespace, pub.Name), pub)
	}
	for _, version := range bundleVersions {
		changed, err := p.publish(ctx, bundleAt(version, pub.Name), pub)
		if !noResource(err) {
			return changed, err
		}
	}
	return false, errNoBundles
}

// bundleVersions are those of ClusterTrustBundle, the newest first: the newest that
// the cluster has is taken.
var bundleVersions = [...]string{"v1", "v1beta1"}

var errNoBundles = errors.New("this cluster has no ClusterTrustBundles: they are there from Kubernetes 1.37 on, and from 1.33 where certificates.k8s.io/v1beta1 and the feature ClusterTrustBundle are switched on")

func configMapAt(namespace, name string) thing {
	return thing{version: "v1", resource: "configmaps", kind: "ConfigMap", namespace: namespace, name: name}
}

func bundleAt(version, name string) thing {
	return thing{group: "certificates.k8s.io", version: version, resource: "clustertrustbundles", kind: "ClusterTrustBundle", name: name}
}

func (p *platform) publish(ctx context.Context, at thing, pub backends.Publication) (bool, error) {
	for try := 1; ; try++ {
		term, err := termOf(p.options)
		if err != nil {
			return false, err
		}
		have := &published{}
		err = p.client.do(ctx, call{method: http.MethodGet, about: at}, have)
		switch {
		case err == nil && have.holds(pub):
			return false, nil
		case err != nil && (!errors.Is(err, fs.ErrNotExist) || noResource(err)):
			return false, err
		}
		if pub.DryRun {
			return true, nil
		}
		if now, err := termOf(p.options); err != nil || now != term {
			return false, errors.Join(err, errTerm)
		}
		err = p.client.do(ctx, call{method: http.MethodPatch, about: at, media: asApply, body: publicationOf(at, pub, have),
			query: url.Values{"fieldManager": {manager}, "force": {strconv.FormatBool(pub.Force)}}}, nil)
		if !errors.Is(err, issue.ErrChanged) || try == tries { // else another part of it was changed meanwhile
			return err == nil, p.signersRight(explained(err), pub)
		}
	}
}

// holds tells whether the text is there already.
func (h *published) holds(pub backends.Publication) bool {
	if pub.Kind == "ConfigMap" {
		text, there := h.Data[pub.Key]
		return there && text == pub.Text
	}
	return h.Spec.Bundle == pub.Text
}

// publicationOf is the part of the object that is ours.
func publicationOf(at thing, pub backends.Publication, have *published) map[string]any {
	about := map[string]any{"name": pub.Name, "labels": map[string]string{labelManaged: "true"}}
	if at.namespace != "" {
		about["namespace"] = at.namespace
	}
	if have.Metadata.ResourceVersion != "" {
		about["uid"], about["resourceVersion"] = have.Metadata.UID, have.Metadata.ResourceVersion
	}
	body := map[string]any{"apiVersion": strings.TrimPrefix(at.group+"/"+at.version, "/"), "kind": at.kind, "metadata": about}
	if pub.Kind == "ConfigMap" {
		body["data"] = map[string]string{pub.Key: pub.Text}
		return body
	}
	spec := map[string]string{"trustBundle": pub.Text}
	if pub.Signer != "" {
		spec["signerName"] = pub.Signer
	}
	body["spec"] = spec
	return body
}

// signersRight adds to a refusal the right that a signer's own bundle needs besides.
func (p *platform) signersRight(err error, pub backends.Publication) error {
	if pub.Signer == "" || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	at := thing{group: "certificates.k8s.io", resource: "signers", name: pub.Signer}
	return fmt.Errorf("%w; and a bundle of the signer %s also needs %s", err, pub.Signer, at.rule("attest"))
}
