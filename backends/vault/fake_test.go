package vault

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// fake answers as Vault 1.21.1 does, in the shapes that were recorded from one: see
// testdata. What it does to a request is what the role of the real one did.
type fake struct {
	t      *testing.T
	now    func() time.Time
	server *httptest.Server

	mu      sync.Mutex
	tokens  map[string]bool // that are good
	logins  int
	calls   map[string]int // by method and path
	before  func(w http.ResponseWriter, r *http.Request) bool
	role    map[string]any
	issued  map[string]*x509.Certificate
	revoked map[string]bool
	issuers []*fakeCA
	bodies  []map[string]any
}

type fakeCA struct {
	id   string
	cert *x509.Certificate
	key  crypto.Signer
}

func newFake(t *testing.T, now func() time.Time) *fake {
	f := &fake{t: t, now: now, tokens: map[string]bool{"s.good": true}, calls: map[string]int{}, issued: map[string]*x509.Certificate{}, revoked: map[string]bool{},
		role: recorded(t, "role.json")["data"].(map[string]any)}
	f.role["max_ttl"] = json.Number("0")
	f.addCA("one", now().Add(60*24*time.Hour))
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	return f
}

// addCA gives the mount another root that signs from now on.
func (f *fake) addCA(id string, until time.Time) {
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(len(f.issuers)) + 1), Subject: pkix.Name{CommonName: "Vault Root " + id},
		NotBefore: f.now().Add(-time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.issuers = append(f.issuers, &fakeCA{id, cert, key})
}

func (f *fake) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[call]
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	method := r.Method
	if r.URL.Query().Get("list") == "true" {
		method = "LIST"
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	f.calls[method+" "+path]++
	if f.before != nil && f.before(w, r) {
		return
	}
	var body map[string]any
	if data, _ := io.ReadAll(r.Body); len(data) > 0 {
		if err := json.Unmarshal(data, &body); err != nil {
			f.fail(w, 400, "failed to parse JSON input")
			return
		}
	}
	f.bodies = append(f.bodies, body)
	public := strings.HasPrefix(path, "pki/issuer") && strings.HasSuffix(path, "/json") || path == "pki/issuers" || strings.HasPrefix(path, "pki/cert/") ||
		strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/login") || path == "sys/health"
	if !public && !f.tokens[r.Header.Get("X-Vault-Token")] {
		f.fail(w, 403, "permission denied")
		return
	}
	f.route(w, method+" "+path, path, body)
}

func (f *fake) route(w http.ResponseWriter, call, path string, body map[string]any) {
	last := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case call == "LIST pki/issuers":
		keys, info := []any{}, map[string]any{}
		for _, i := range f.issuers {
			keys = append(keys, i.id)
			info[i.id] = map[string]any{"issuer_name": i.id}
		}
		f.say(w, map[string]any{"keys": keys, "key_info": info})
	case strings.HasSuffix(call, "/json"):
		for n, i := range f.issuers {
			if path == "pki/issuer/"+i.id+"/json" || path == "pki/issuer/default/json" && n == len(f.issuers)-1 {
				f.say(w, map[string]any{"certificate": armour(i.cert), "ca_chain": []any{armour(i.cert) + "\n"}, "revocation_time": 0, "issuer_id": i.id})
				return
			}
		}
		f.fail(w, 400, "unable to find PKI issuer for reference: "+path)
	case strings.HasPrefix(call, "PUT pki/sign/"):
		if last != "mesh" {
			f.fail(w, 400, "unknown role: "+last)
			return
		}
		f.sign(w, body)
	case call == "GET pki/roles/mesh":
		f.say(w, f.role)
	case strings.HasPrefix(call, "GET pki/cert/"):
		c, ok := f.issued[last]
		if !ok {
			f.fail(w, 404)
			return
		}
		when := 0
		if f.revoked[last] {
			when = 1
		}
		f.say(w, map[string]any{"certificate": armour(c), "revocation_time": when})
	case call == "PUT pki/revoke":
		serial, _ := body["serial_number"].(string)
		if _, ok := f.issued[serial]; !ok {
			f.fail(w, 400, "certificate with serial "+serial+" not found.")
			return
		}
		f.revoked[serial] = true
		f.say(w, map[string]any{"revocation_time": 1, "state": "revoked"})
	case strings.HasPrefix(path, "auth/") && last == "login":
		f.logins++
		token := "s.login" + strconv.Itoa(f.logins)
		f.tokens[token] = true
		_ = json.NewEncoder(w).Encode(map[string]any{"auth": map[string]any{"client_token": token, "lease_duration": 3600, "renewable": true, "policies": []string{"default"}}})
	case path == "auth/token/lookup-self":
		f.say(w, map[string]any{"ttl": 3600, "renewable": true, "policies": []any{"default"}, "type": "service"})
	case path == "auth/token/renew-self":
		_ = json.NewEncoder(w).Encode(map[string]any{"auth": map[string]any{"client_token": "", "lease_duration": 3600, "renewable": true}})
	default:
		f.fail(w, 404, `no handler for route "`+path+`". route entry not found.`)
	}
}

func (f *fake) say(w http.ResponseWriter, data map[string]any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "r", "data": data, "warnings": nil, "mount_type": "pki"})
}

func (f *fake) fail(w http.ResponseWriter, status int, errors ...string) {
	w.WriteHeader(status)
	if errors == nil {
		errors = []string{}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": errors})
}

// armour is a certificate as Vault writes it: without a line feed at the end.
func armour(c *x509.Certificate) string {
	return strings.TrimRight(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})), "\n")
}

// sign is what sign/mesh does (B5 of the facts, each seen on a real one).
func (f *fake) sign(w http.ResponseWriter, body map[string]any) {
	block, _ := pem.Decode([]byte(fmt.Sprint(body["csr"])))
	if block == nil {
		f.fail(w, 400, "csr contains no data")
		return
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		f.fail(w, 400, err.Error())
		return
	}
	for _, d := range csr.DNSNames {
		if strings.HasSuffix(d, ".forbidden") {
			f.fail(w, 400, "subject alternate name "+d+" not allowed by this role")
			return
		}
	}
	ttl, err := time.ParseDuration(fmt.Sprint(body["ttl"]))
	if err != nil {
		f.fail(w, 400, err.Error())
		return
	}
	by := f.issuers[len(f.issuers)-1]
	now := f.now()
	end := now.Add(ttl)
	if longest, ok := f.role["max_ttl"].(json.Number); ok {
		if n, _ := longest.Int64(); n > 0 && ttl > time.Duration(n)*time.Second {
			end = now.Add(time.Duration(n) * time.Second)
		}
	}
	if end.After(by.cert.NotAfter) {
		f.fail(w, 400, fmt.Sprintf("cannot satisfy request, as TTL would result in notAfter of %s that is beyond the expiration of the CA certificate at %s",
			end.UTC().Format(time.RFC3339Nano), by.cert.NotAfter.UTC().Format(time.RFC3339Nano)))
		return
	}
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 158))
	template := &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-30 * time.Second), NotAfter: end,
		DNSNames: slices.Sorted(slices.Values(csr.DNSNames)), URIs: csr.URIs, IPAddresses: csr.IPAddresses, EmailAddresses: csr.EmailAddresses,
		KeyUsage: usagesOf(texts(f.role["key_usage"])), BasicConstraintsValid: f.role["basic_constraints_valid_for_non_ca"] == true}
	if cn, ok := body["common_name"].(string); ok {
		template.Subject = pkix.Name{CommonName: cn}
	}
	if f.role["server_flag"] == true {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if f.role["client_flag"] == true {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, csr.PublicKey, by.key)
	if err != nil {
		f.fail(w, 500, err.Error())
		return
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		f.fail(w, 500, err.Error())
		return
	}
	f.issued[colons(serial)] = leaf
	f.say(w, map[string]any{"certificate": armour(leaf), "issuing_ca": armour(by.cert), "ca_chain": []any{armour(by.cert)},
		"serial_number": colons(serial), "expiration": end.Unix()})
}
