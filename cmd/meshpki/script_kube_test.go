package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// kube has an API server of a Kubernetes cluster in this process, and kubectl's
// configuration for it in the script's home:
//
//	kube start [missing=NAMESPACE]…
//	kube put NAMESPACE/NAME MANAGER KEY=VALUE…   a Secret, or more in it; KEY is a key of its
//	                                             data (of a file with VALUE @FILE), annotation:NAME,
//	                                             type or immutable
//	kube get NAMESPACE/NAME FILE                 the Secret as JSON; an empty file where there is none
//	kube calls VERB=N…                           what was asked since the last time
//	kube signer NAME denies|signs|waits          a signer of the cluster, with its own root as a ClusterTrustBundle
//	kube make PATH [FILE]                        any object, from JSON
//	kube object PATH FILE                        any object as JSON
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
	case "signer":
		kubeSigner(ts, kept, args[1], args[2])
	case "make":
		object := map[string]any{}
		if len(args) > 2 {
			ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[2])), &object))
		}
		kept.kube.Put(args[1], "kubectl", object)
	case "object":
		data, err := json.MarshalIndent(kept.kube.Object(args[1]), "", "  ")
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), data, 0o600))
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
	}, Made: func(resource string, object map[string]any) {
		if sign, ok := kept.signer.Load().(func(map[string]any)); ok && strings.HasPrefix(resource, "certificatesigningrequests") {
			sign(object)
		}
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

// kubeSigner answers the requests for a signer as soon as they are made.
func kubeSigner(ts *testscript.TestScript, kept *kept, name, how string) {
	root, sign := testSigner(ts)
	kept.kube.Put("/apis/certificates.k8s.io/v1/clustertrustbundles/"+strings.ReplaceAll(name, "/", ":")+":roots", "signer", map[string]any{
		"metadata": map[string]any{"name": strings.ReplaceAll(name, "/", ":") + ":roots"}, "spec": map[string]any{"signerName": name, "trustBundle": root}})
	kept.signer.Store(func(object map[string]any) {
		spec, _ := object["spec"].(map[string]any)
		if spec["signerName"] != name {
			return
		}
		switch how {
		case "denies":
			object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Denied", "reason": "No", "message": "not here"}}}
		case "signs":
			request, _ := spec["request"].(string)
			seconds, _ := spec["expirationSeconds"].(float64)
			object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Approved"}}, "certificate": sign(request, seconds)}
		}
	})
}

// testSigner makes a CA, and gives its certificate in PEM and what it signs with: a
// request in PEM in base64 for a certificate in PEM in base64, with all that is asked for.
func testSigner(ts *testscript.TestScript) (string, func(request string, seconds float64) string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	now := clock()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Cluster Signer"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2, 3}}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	ts.Check(err)
	serial := int64(1)
	sign := func(request string, seconds float64) string {
		text, err := base64.StdEncoding.DecodeString(request)
		ts.Check(err)
		block, _ := pem.Decode(text)
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		ts.Check(err)
		serial++
		leaf := &x509.Certificate{SerialNumber: new(big.Int).Lsh(big.NewInt(serial), 70), RawSubject: csr.RawSubject, DNSNames: csr.DNSNames, URIs: csr.URIs, IPAddresses: csr.IPAddresses,
			NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Duration(seconds) * time.Second), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		made, err := x509.CreateCertificate(rand.Reader, leaf, root, csr.PublicKey, key)
		ts.Check(err)
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}))
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), sign
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
			if name, ok := strings.CutPrefix(value, "@"); ok {
				value = ts.ReadFile(name)
			}
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
