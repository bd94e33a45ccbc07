package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// kube has an API server of a Kubernetes cluster in this process, and kubectl's
// configuration for it in the script's home:
//
//	kube start [missing=NAMESPACE]…
//	kube put NAMESPACE/NAME MANAGER KEY=VALUE…   a Secret, or more in it; KEY is a key of its
//	                                             data, annotation:NAME, type or immutable
//	kube get NAMESPACE/NAME FILE                 the Secret as JSON; an empty file where there is none
//	kube calls VERB=N…                           what was asked since the last time
//	kube deny VERB/RESOURCE…                     from now on; without any, all is granted again
func kube(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: kube start|put|get|calls|deny …")
	}
	kept := keptOf(ts)
	if args[0] != "start" && kept.kube == nil {
		ts.Fatalf("kube: nothing is started")
	}
	switch args[0] {
	case "start":
		kubeStart(ts, args[1:])
	case "put":
		kubePut(ts, kept.kube, args[1:])
	case "get":
		object := kept.kube.Object(secretPath(ts, args[1]))
		data, err := json.MarshalIndent(object, "", "  ")
		if object == nil {
			data = nil
		}
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), data, 0o600))
	case "calls":
		kubeCalls(ts, kept.kube.Calls(), args[1:])
	case "deny":
		kept.denied = args[1:]
	default:
		ts.Fatalf("kube %s?", args[0])
	}
}

func kubeStart(ts *testscript.TestScript, args []string) {
	kept := keptOf(ts)
	kept.kube = &backendtest.KubeAPI{Deny: func(verb, resource, _, _ string) bool {
		return slices.Contains(kept.denied, verb+"/"+resource)
	}}
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "missing="); ok {
			kept.kube.Missing = append(kept.kube.Missing, name)
		}
	}
	server := httptest.NewServer(kept.kube)
	ts.Defer(server.Close)
	dir := filepath.Join(ts.Getenv("HOME"), ".kube")
	ts.Check(os.MkdirAll(dir, 0o700))
	text := "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster: {server: \"" + server.URL + "\"}\n" +
		"contexts:\n- name: test\n  context: {cluster: test, user: test, namespace: meshpki}\nusers:\n- name: test\n  user: {}\n"
	ts.Check(os.WriteFile(filepath.Join(dir, "config"), []byte(text), 0o600))
}

func secretPath(ts *testscript.TestScript, place string) string {
	namespace, name, ok := strings.Cut(place, "/")
	if !ok {
		ts.Fatalf("%q is not NAMESPACE/NAME", place)
	}
	return "/api/v1/namespaces/" + namespace + "/secrets/" + name
}

func kubePut(ts *testscript.TestScript, k *backendtest.KubeAPI, args []string) {
	path := secretPath(ts, args[0])
	namespace, name, _ := strings.Cut(args[0], "/")
	object := k.Object(path)
	if object == nil {
		object = map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
			"metadata": map[string]any{"name": name, "namespace": namespace}}
	}
	inner := func(in map[string]any, name string) map[string]any {
		m, _ := in[name].(map[string]any)
		if m == nil {
			m = map[string]any{}
			in[name] = m
		}
		return m
	}
	for _, a := range args[2:] {
		key, value, _ := strings.Cut(a, "=")
		note, isNote := strings.CutPrefix(key, "annotation:")
		switch {
		case isNote && value == "":
			delete(inner(inner(object, "metadata"), "annotations"), note)
		case isNote:
			inner(inner(object, "metadata"), "annotations")[note] = value
		case key == "type":
			object["type"] = value
		case key == "immutable":
			object["immutable"] = value == "true"
		default:
			inner(object, "data")[key] = base64.StdEncoding.EncodeToString([]byte(value))
		}
	}
	k.Put(path, args[1], object)
}

func kubeCalls(ts *testscript.TestScript, calls, want []string) {
	var got []string
	for _, verb := range []string{"GET", "POST", "PATCH", "PUT", "DELETE"} {
		n := 0
		for _, c := range calls {
			if strings.HasPrefix(c, verb+" ") {
				n++
			}
		}
		if n > 0 {
			got = append(got, fmt.Sprintf("%s=%d", verb, n))
		}
	}
	if !slices.Equal(got, want) {
		ts.Fatalf("the API server was asked %q, want %q:\n%s", got, want, strings.Join(calls, "\n"))
	}
}
