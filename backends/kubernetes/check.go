package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/meshpki/meshpki/backends"
)

// examination is a check of a signer in hand.
type examination struct {
	s     *Signer
	c     *client
	found []backends.Check
}

func (x *examination) say(name string, state backends.State, remedy, format string, args ...any) {
	x.found = append(x.found, backends.Check{Name: name, State: state, Says: fmt.Sprintf(format, args...), Remedy: remedy})
}

// Check tries what it takes to have certificates signed by a signer of the cluster: the
// way there, each right, the signer's name, its roots, and what is wanted of it. Nothing
// is signed, and nothing left there.
func (c *Clusters) Check(ctx context.Context, name string, o backends.Options, wants []backends.Want) ([]backends.Check, error) {
	a, err := c.Authority(ctx, name, o)
	if err != nil {
		return nil, err
	}
	s, _ := a.(*Signer)
	x := &examination{s: s}
	x.signer(wants)
	if x.c, err = c.client(s.options); err != nil {
		x.say("access", backends.StateFailed, "--kubeconfig, KUBECONFIG or ~/.kube/config; in a pod its ServiceAccount", "%s", err)
		return x.found, nil
	}
	if !x.server(ctx) {
		return x.found, nil
	}
	x.rights(ctx)
	x.approver(ctx)
	x.roots(ctx)
	x.wanted(wants)
	return x.found, ctx.Err()
}

// signer judges the name. What Kubernetes itself signs for is for its own use.
func (x *examination) signer(wants []backends.Want) {
	remedy := "a signer of your own: kubernetes:example.com/mesh"
	switch name := x.s.name; name {
	case "kubernetes.io/legacy-unknown":
		x.say("signer", backends.StateFailed, remedy, "%s cannot be asked for in certificates.k8s.io/v1", name)
	case "kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet":
		x.say("signer", backends.StateFailed, remedy, "%s is for kubelets, and signs for nobody else", name)
	case "kubernetes.io/kube-apiserver-client":
		x.say("signer", backends.StateFailed, remedy, "%s signs for clients of the API server: no server, and every certificate is a user there", name)
	default:
		if strings.HasPrefix(name, "kubernetes.io/") {
			x.say("signer", backends.StateWarning, remedy, "%s is a name of Kubernetes' own, and none that is known here", name)
			return
		}
		x.say("signer", backends.StateOK, "", "%s, for %d of what is wanted", name, len(wants))
	}
}

// server tells which cluster answers, and to whom; false where nothing more can be
// asked of it.
func (x *examination) server(ctx context.Context) bool {
	var version struct {
		Major   string `json:"major"`
		Minor   string `json:"minor"`
		Version string `json:"gitVersion"`
	}
	if err := x.c.do(ctx, call{method: http.MethodGet, about: thing{kind: "the version of the API server", at: "version"}}, &version); err != nil {
		remedy := "the server of the kubeconfig's cluster"
		if errors.Is(err, fs.ErrPermission) {
			remedy = "another token or certificate for this user"
		}
		x.say("access", backends.StateFailed, remedy, "%s", err)
		return false
	}
	minor, _ := strconv.Atoi(strings.TrimRight(version.Minor, "+"))
	switch {
	case version.Major == "1" && minor > 0 && minor < 19:
		x.say("version", backends.StateFailed, "Kubernetes 1.19 or later", "%s has no certificates.k8s.io/v1", version.Version)
		return false
	case version.Major == "1" && minor < 33:
		x.say("version", backends.StateOK, "", "%s answers at %s; ClusterTrustBundles come with 1.33", version.Version, x.c.base.Host)
	default:
		x.say("version", backends.StateOK, "", "%s answers at %s", version.Version, x.c.base.Host)
	}
	var self struct {
		Status struct {
			User struct {
				Name   string   `json:"username"`
				Groups []string `json:"groups"`
			} `json:"userInfo"`
		} `json:"status"`
	}
	at := thing{group: "authentication.k8s.io", version: "v1", resource: "selfsubjectreviews", kind: "SelfSubjectReview"}
	body := map[string]string{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
	err := x.c.do(ctx, call{method: http.MethodPost, about: at, media: asJSON, body: body}, &self)
	p, answered := asProblem(err)
	switch {
	case err == nil:
		x.say("identity", backends.StateOK, "", "the cluster knows us as %s", self.Status.User.Name)
	case answered && p.Code == http.StatusUnauthorized:
		x.say("identity", backends.StateFailed, "another token or certificate for this user", "%s", err)
		return false
	default: // before 1.28
		x.say("identity", backends.StateUnknown, "", "as whom the cluster knows us: %s", err)
	}
	return true
}

// may asks whether we have a right; unknown where that is not told.
func (x *examination) may(ctx context.Context, at thing, verb string) (bool, error) {
	resource := map[string]string{"group": at.group, "version": "*", "resource": at.resource, "verb": verb}
	for key, value := range map[string]string{"name": at.name, "namespace": at.namespace, "subresource": at.sub} {
		if value != "" {
			resource[key] = value
		}
	}
	review := thing{group: "authorization.k8s.io", version: "v1", resource: "selfsubjectaccessreviews", kind: "SelfSubjectAccessReview"}
	body := map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": map[string]any{"resourceAttributes": resource}}
	var answer struct {
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	err := x.c.do(ctx, call{method: http.MethodPost, about: review, media: asJSON, body: body}, &answer)
	return answer.Status.Allowed, err
}

// rights asks for each verb that is needed.
func (x *examination) rights(ctx context.Context) {
	at := requestAt("")
	for _, verb := range []string{"create", "get", "delete"} {
		x.right(ctx, at, verb, backends.StateFailed, map[string]string{
			"create": "requests can be handed in", "get": "their answers can be read", "delete": "they can be taken away afterwards"}[verb])
	}
	if x.s.settings.CACert != "" {
		return
	}
	bundle, verb := bundleAt("v1", x.s.settings.TrustBundle), "list"
	if bundle.name != "" {
		verb = "get"
	}
	x.right(ctx, bundle, verb, backends.StateFailed, "the signer's roots can be read")
}

func (x *examination) right(ctx context.Context, at thing, verb string, without backends.State, good string) {
	name := verb + " " + at.resource
	if verb == "delete" {
		without = backends.StateWarning // the cluster takes them away as well, later
	}
	allowed, err := x.may(ctx, at, verb)
	switch {
	case err != nil:
		x.say(name, backends.StateUnknown, "", "%s", err)
	case allowed:
		x.say(name, backends.StateOK, "", "%s", good)
	default:
		x.say(name, without, "a ClusterRole with the rule "+at.rule(verb), "the right is missing")
	}
}

// signerAt is the signer, as RBAC knows it.
func (x *examination) signerAt() thing {
	return thing{group: "certificates.k8s.io", resource: "signers", kind: "signer", name: x.s.name}
}

// approver explains who has to say yes. That we could is no good sign: whoever may ask
// and approve at once may have any name.
func (x *examination) approver(ctx context.Context) {
	rules := (thing{group: "certificates.k8s.io", resource: "certificatesigningrequests", sub: "approval"}).rule("update") + " and " + x.signerAt().rule("approve")
	allowed, err := x.may(ctx, x.signerAt(), "approve")
	switch {
	case err != nil:
		x.say("approver", backends.StateUnknown, "", "%s", err)
	case allowed:
		x.say("approver", backends.StateWarning, "take the verb approve on the signer away from it", "this identity could approve its own requests: whoever has it, has any name")
	default:
		x.say("approver", backends.StateUnknown, "it needs "+rules+"; by hand: kubectl certificate approve", "a controller or a person approves; who that is, the cluster does not tell")
	}
}

// roots reads what the signer is trusted by.
func (x *examination) roots(ctx context.Context) {
	roots, err := x.s.Roots(ctx)
	switch {
	case err != nil && errors.Is(err, fs.ErrPermission):
		return // the right is told of already
	case err != nil:
		x.say("roots", backends.StateFailed, "a ClusterTrustBundle of the signer; or caCert: in the entry under backends", "%s", err)
	case len(roots) == 0:
		x.say("roots", backends.StateFailed, "caCert: in the entry under backends", "there are none")
	default:
		x.say("roots", backends.StateOK, "", "%d, the first of them %s", len(roots), roots[0].Subject)
	}
}

// wanted holds what is wanted against what the API can be asked for.
func (x *examination) wanted(wants []backends.Want) {
	for _, w := range wants {
		if w.Validity > 0 && w.Validity < shortest {
			x.say("validity of "+w.Name, backends.StateFailed, "validity: 10m or longer", "%s is wanted, and nothing shorter than %s can be asked for", w.Validity, shortest)
		}
	}
}

// Suggest prints the rights that are enough: ours, the approver's and the signer's.
func (c *Clusters) Suggest(name string, o backends.Options, _ []backends.Want) ([]backends.Suggestion, error) {
	a, err := c.Authority(context.Background(), name, o)
	if err != nil {
		return nil, err
	}
	s, _ := a.(*Signer)
	x := &examination{s: s}
	role := func(who, about string, rules ...string) string {
		return "# " + about + "\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: " + who + "}\nrules:\n- " + strings.Join(rules, "\n- ") +
			"\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: " + who + "}\n" +
			"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: " + who + "}\n" +
			"subjects: [{kind: ServiceAccount, name: " + who + ", namespace: meshpki}]\n"
	}
	request := requestAt("")
	part := func(sub string) thing {
		return thing{group: request.group, resource: request.resource, sub: sub}
	}
	ours := []string{request.rule("create", "get", "delete")}
	if s.settings.CACert == "" {
		ours = append(ours, bundleAt("v1", "").rule("get", "list"))
	}
	return []backends.Suggestion{
		{Form: "rbac", Text: role("meshpki", "meshpki itself", ours...)},
		{Form: "approver", Text: "---\n" + role("mesh-approver", "whoever approves: a controller that knows who may have which name",
			request.rule("get", "list", "watch"), part("approval").rule("update"), x.signerAt().rule("approve"))},
		{Form: "signer", Text: "---\n" + role("mesh-signer", "whoever signs what is approved, and publishes its roots",
			request.rule("get", "list", "watch"), part("status").rule("update"), bundleAt("v1", "").rule("get", "create", "patch"), x.signerAt().rule("sign", "attest"))},
	}, nil
}
