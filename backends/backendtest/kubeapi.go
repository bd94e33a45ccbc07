package backendtest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// KubeAPI is as much of a Kubernetes API server as a place, a lease and a rollout
// need, with the shapes of a real one (v1.34): objects by their paths, resource
// versions, server-side apply with its field managers, preconditions. What is stored is
// in memory. It knows no schemas, no namespaces that are missing unless Missing says
// so, and no rights but those that Deny takes. Safe for concurrent use; the exported
// fields do not change once it is in use.
type KubeAPI struct {
	// Deny tells whether a verb is forbidden; nil forbids nothing. A resource is
	// secrets, or leases.coordination.k8s.io.
	Deny func(verb, resource, namespace, name string) bool
	// Missing are namespaces that do not exist.
	Missing []string
	// Before, unless nil, sees every request first: with true it has answered it itself.
	Before func(w http.ResponseWriter, r *http.Request) bool
	// Made, unless nil, sees each object that is created, and may add to it.
	Made func(resource string, object map[string]any)
	// After, unless nil, is asked once a request is carried out: with true its answer is
	// lost on the way.
	After func(r *http.Request) bool

	mu      sync.Mutex
	version int
	objects map[string]map[string]any
	calls   []string
}

// Calls gives what was asked since the last time, as "PATCH /api/v1/…".
func (k *KubeAPI) Calls() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	calls := k.calls
	k.calls = nil
	return calls
}

// Object gives a copy of what is stored under a path; nil where nothing is.
func (k *KubeAPI) Object(path string) map[string]any {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.objects[path] == nil {
		return nil
	}
	return copyOf(k.objects[path])
}

// Put stores an object as somebody else would: the field manager of that name.
func (k *KubeAPI) Put(path, manager string, object map[string]any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.objects[path]
	object = copyOf(object)
	if was == nil {
		k.born(object)
	} else {
		within(object, "metadata")["uid"] = within(was, "metadata")["uid"]
		within(object, "metadata")["managedFields"] = within(was, "metadata")["managedFields"]
	}
	owned(was, object, manager)
	k.store(path, object)
}

func (k *KubeAPI) born(object map[string]any) {
	within(object, "metadata")["uid"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", k.version+1)
	delete(within(object, "metadata"), "managedFields")
}

func (k *KubeAPI) store(path string, object map[string]any) {
	if k.objects == nil {
		k.objects = map[string]map[string]any{}
	}
	k.version++
	within(object, "metadata")["resourceVersion"] = strconv.Itoa(k.version)
	k.objects[path] = object
}

// status is an answer that is none of 2xx.
type status struct {
	code            int
	reason, message string
	kind            string
	causes          []map[string]any
}

func (k *KubeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	k.calls = append(k.calls, r.Method+" "+r.URL.Path)
	k.mu.Unlock()
	if k.Before != nil && k.Before(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	k.mu.Lock()
	answer, code, refused := k.serve(r, body)
	k.mu.Unlock()
	if k.After != nil && k.After(r) {
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.Close()
			}
		}
		return
	}
	if refused != nil {
		code = refused.code
		answer = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": refused.reason, "code": code,
			"message": refused.message, "details": map[string]any{"kind": refused.kind, "causes": refused.causes}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

// place is what a path says.
type kubePath struct{ path, resource, namespace, name, sub string }

func kubePathOf(path string) kubePath {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	p := kubePath{path: path}
	group := ""
	if parts[0] == "apis" && len(parts) > 2 {
		group, parts = "."+parts[1], parts[3:]
	} else if len(parts) > 2 {
		parts = parts[2:]
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		p.namespace, parts = parts[1], parts[2:]
	}
	p.resource = parts[0] + group
	if len(parts) > 1 {
		p.name = parts[1]
	}
	if len(parts) > 2 {
		p.sub = parts[2]
		p.path = strings.TrimSuffix(path, "/"+p.sub)
	}
	return p
}

var kubeVerbs = map[string]string{http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}

func (k *KubeAPI) serve(r *http.Request, body []byte) (any, int, *status) {
	if answer := k.review(r.URL.Path, body); answer != nil {
		return answer, 201, nil
	}
	p := kubePathOf(r.URL.Path)
	verb := kubeVerbs[r.Method]
	if verb == "get" && p.name == "" {
		verb = "list"
	}
	if k.Deny != nil && k.Deny(verb, p.resource, p.namespace, p.name) {
		return nil, 0, &status{403, "Forbidden", fmt.Sprintf("%s %q is forbidden: User \"test\" cannot %s resource", p.resource, p.name, verb), p.resource, nil}
	}
	sent := map[string]any{}
	if len(body) > 0 && json.Unmarshal(body, &sent) != nil {
		return nil, 0, &status{400, "BadRequest", "the body is no JSON", p.resource, nil}
	}
	was := k.objects[p.path]
	if verb == "create" && p.name == "" {
		name, _ := within(sent, "metadata")["name"].(string)
		p.name, p.path = name, p.path+"/"+name
		was = k.objects[p.path]
	}
	if slices.Contains(k.Missing, p.namespace) && (verb == "create" || verb == "patch") {
		return nil, 0, &status{404, "NotFound", fmt.Sprintf("namespaces %q not found", p.namespace), "namespaces", nil}
	}
	manager := r.URL.Query().Get("fieldManager")
	switch {
	case verb == "list":
		return k.list(p, r), 200, nil
	case verb == "create":
		return k.create(p, was, sent, manager)
	case was == nil && (verb != "patch" || r.Header.Get("Content-Type") != "application/apply-patch+yaml"):
		return nil, 0, k.notFound(p)
	case verb == "get":
		return was, 200, nil
	case verb == "delete":
		return k.delete(p, was, sent)
	}
	return k.change(r, p, was, sent, manager)
}

// review answers what is asked about the server and the asker; nil where nothing of
// that is.
func (k *KubeAPI) review(path string, body []byte) any {
	switch path {
	case "/version":
		return map[string]any{"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
	case "/apis/authentication.k8s.io/v1/selfsubjectreviews":
		return map[string]any{"status": map[string]any{"userInfo": map[string]any{"username": "test"}}}
	case "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
		var asked struct {
			Spec struct {
				Of struct{ Group, Resource, Verb, Namespace, Name string } `json:"resourceAttributes"`
			} `json:"spec"`
		}
		of := &asked.Spec.Of
		if json.Unmarshal(body, &asked) != nil {
			return nil
		}
		resource := strings.TrimSuffix(of.Resource+"."+of.Group, ".")
		return map[string]any{"status": map[string]any{"allowed": k.Deny == nil || !k.Deny(of.Verb, resource, of.Namespace, of.Name)}}
	}
	return nil
}

func (k *KubeAPI) notFound(p kubePath) *status {
	return &status{404, "NotFound", fmt.Sprintf("%s %q not found", p.resource, p.name), strings.SplitN(p.resource, ".", 2)[0], nil}
}

func (k *KubeAPI) create(p kubePath, was, sent map[string]any, manager string) (any, int, *status) {
	if was != nil {
		return nil, 0, &status{409, "AlreadyExists", fmt.Sprintf("%s %q already exists", p.resource, p.name), p.resource, nil}
	}
	k.born(sent)
	if k.Made != nil {
		k.Made(p.resource, sent)
	}
	owned(nil, sent, manager)
	k.store(p.path, sent)
	return sent, 201, nil
}

func (k *KubeAPI) delete(p kubePath, was, sent map[string]any) (any, int, *status) {
	want := within(sent, "preconditions")
	for _, field := range []string{"uid", "resourceVersion"} {
		if v, ok := want[field].(string); ok && v != within(was, "metadata")[field] {
			return nil, 0, changed(p)
		}
	}
	delete(k.objects, p.path)
	k.version++
	return map[string]any{"kind": "Status", "status": "Success"}, 200, nil
}

func changed(p kubePath) *status {
	return &status{409, "Conflict", fmt.Sprintf("Operation cannot be fulfilled on %s %q: the object has been modified; please apply your changes to the latest version and try again",
		p.resource, p.name), p.resource, nil}
}

// change carries out PUT and the kinds of PATCH.
func (k *KubeAPI) change(r *http.Request, p kubePath, was, sent map[string]any, manager string) (any, int, *status) {
	for _, field := range []string{"uid", "resourceVersion"} {
		if v, ok := within(sent, "metadata")[field].(string); ok && v != "" && v != within(was, "metadata")[field] {
			return nil, 0, changed(p)
		}
	}
	now := copyOf(was)
	apply := r.Header.Get("Content-Type") == "application/apply-patch+yaml"
	switch {
	case apply:
		if refused := applyTo(was, now, sent, manager, r.URL.Query().Get("force") == "true"); refused != nil {
			return nil, 0, refused
		}
	case r.Method == http.MethodPatch:
		mergeInto(now, sent)
		owned(was, now, manager)
	default:
		fields := within(was, "metadata")["managedFields"]
		uid := within(was, "metadata")["uid"]
		now = sent
		within(now, "metadata")["managedFields"], within(now, "metadata")["uid"] = fields, uid
		owned(was, now, manager)
	}
	if immutable, _ := was["immutable"].(bool); immutable && !same(was["data"], now["data"]) {
		return nil, 0, &status{422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set", p.resource, nil}
	}
	if now["type"] == "kubernetes.io/tls" && (within(now, "data")["tls.crt"] == nil || within(now, "data")["tls.key"] == nil) {
		return nil, 0, &status{422, "Invalid", "data[tls.crt]: Required value", p.resource, nil}
	}
	code := 200
	if was == nil {
		code = 201
	}
	k.store(p.path, now)
	return now, code, nil
}

func (k *KubeAPI) list(p kubePath, r *http.Request) any {
	field, want, _ := strings.Cut(r.URL.Query().Get("fieldSelector"), "=")
	items := []any{}
	for _, path := range slices.Sorted(maps.Keys(k.objects)) {
		o := k.objects[path]
		have := o[field]
		if inner, ok := strings.CutPrefix(field, "spec."); ok {
			have = within(o, "spec")[inner]
		}
		if !strings.HasPrefix(path, p.path+"/") || field != "" && have != want {
			continue
		}
		items = append(items, o)
	}
	return map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{}, "items": items}
}
