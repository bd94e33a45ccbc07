package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// server is as much of an ACME server as the tests need without Pebble: signatures
// and nonces are checked, and challenges are looked at where they are answered.
type server struct {
	t      *testing.T
	http   *httptest.Server
	issuer *ca.Issuer
	other  *ca.Issuer // over an alternate chain, if any

	// How it behaves.
	now          func() time.Time
	polls        int  // how often an authorization is asked for before it is valid
	badNonces    int  // how many of the next nonces are refused
	eab          bool // an external account binding is demanded
	ownEnd       bool // a notAfter is refused
	profiles     map[string]string
	httpAt       string // where http-01 is looked at
	tlsAt        string
	zone         string // the file of TXT records
	offers       []string
	renewal      func(id string) (status int, retry, body string)
	problem      func(path string) *problemDocument // what a request is answered with instead
	commonNames  bool
	answers      http.HandlerFunc // instead of everything, if set
	alreadyTaken bool             // a certificate that is replaced has been already
	keepsAll     bool             // it revokes nothing
	hangs        chan struct{}    // renewal information is not answered until it is closed

	mu       sync.Mutex
	nonces   map[string]bool
	accounts map[string]*accountOf // by the key's thumbprint
	orders   []*orderOf
	proved   map[string]bool
	seen     []string // method and path of each request
	bodies   []string // what was posted, decoded
}

type accountOf struct {
	key        *ecdsa.PublicKey
	thumbprint string
	number     int
	bound      string
}

type orderOf struct {
	number      int
	owner       *accountOf
	identifiers []identifierDocument
	notAfter    *time.Time
	profile     string
	replaces    string
	authz       []*authzOf
	chain       ca.Chain
	invalid     bool
	revoked     *int // why
}

type authzOf struct {
	identifier identifierDocument
	wildcard   bool
	token      string
	status     string
	looked     int
	problem    *problemDocument
	chosen     string
}

type identifierDocument struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type problemDocument struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
	Status int    `json:"status"`
	retry  string
}

func newServer(t *testing.T) *server {
	t.Helper()
	clock := func() time.Time { return start }
	issuer, err := memory.NewAuthority(t.Context(), memory.AuthorityOptions{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, issuer: issuer, now: clock, nonces: map[string]bool{}, accounts: map[string]*accountOf{}, proved: map[string]bool{},
		offers: []string{"http-01", "tls-alpn-01", "dns-01"}}
	s.httpAt, s.tlsAt = freeAddress(t), freeAddress(t)
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.http.StartTLS()
	t.Cleanup(s.http.Close)
	return s
}

// freeAddress is one that nobody listens at, and nobody else will: where all of the
// loopback's addresses are there, it is of one that no other test has.
func freeAddress(t *testing.T) string {
	t.Helper()
	host := "127.0.0.1"
	if runtime.GOOS == "linux" {
		var b [3]byte
		_, _ = rand.Read(b[:])
		host = fmt.Sprintf("127.%d.%d.%d", b[0], b[1], 1+b[2]%250)
	}
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// url is one of the server's own: each server has a path of its own, for directories
// are remembered by their URL.
func (s *server) url(path string) string { return fmt.Sprintf("%s/%p/%s", s.http.URL, s, path) }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.answers != nil {
		s.answers(w, r)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, fmt.Sprintf("/%p/", s))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Method+" "+path)
	w.Header().Set("Replay-Nonce", s.nonce())
	if s.problem != nil {
		if p := s.problem(path); p != nil {
			s.refuse(w, p)
			return
		}
	}
	switch {
	case path == "directory":
		s.answer(w, http.StatusOK, s.directory())
	case path == "nonce":
	case strings.HasPrefix(path, "renewal/") && s.hangs != nil:
		s.mu.Unlock()
		select {
		case <-s.hangs:
		case <-r.Context().Done():
		}
		s.mu.Lock()
	case strings.HasPrefix(path, "renewal/") && s.renewal != nil:
		status, retry, body := s.renewal(strings.TrimPrefix(path, "renewal/"))
		w.Header().Set("Retry-After", retry)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	case r.Method == http.MethodPost:
		s.post(w, r, path)
	default:
		s.refuse(w, &problemDocument{Type: "malformed", Detail: "no such thing", Status: http.StatusNotFound})
	}
}

func (s *server) directory() map[string]any {
	meta := map[string]any{"externalAccountRequired": s.eab, "termsOfService": "https://acme.example.com/terms"}
	if s.profiles != nil {
		meta["profiles"] = s.profiles
	}
	d := map[string]any{"newNonce": s.url("nonce"), "newAccount": s.url("account"), "newOrder": s.url("order"), "meta": meta}
	if !s.keepsAll {
		d["revokeCert"] = s.url("revoke")
	}
	if s.renewal != nil {
		d["renewalInfo"] = s.url("renewal")
	}
	return d
}

func (s *server) nonce() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	n := base64.RawURLEncoding.EncodeToString(b[:])
	s.nonces[n] = true
	return n
}

func (s *server) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *server) refuse(w http.ResponseWriter, p *problemDocument) {
	document := *p
	document.Type = "urn:ietf:params:acme:error:" + p.Type
	w.Header().Set("Content-Type", "application/problem+json")
	if p.retry != "" {
		w.Header().Set("Retry-After", p.retry)
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(document)
}

// signed is a request that was signed (RFC 8555, Section 6.2).
type signed struct {
	Protected, Payload, Signature string
}

type header struct {
	Alg, Nonce, URL, Kid string
	JWK                  *struct{ Kty, Crv, X, Y string }
}

func (s *server) post(w http.ResponseWriter, r *http.Request, path string) {
	account, payload, problem := s.open(r, path)
	if problem != nil {
		s.refuse(w, problem)
		return
	}
	s.bodies = append(s.bodies, string(payload))
	kind, rest, _ := strings.Cut(path, "/")
	switch {
	case path == "account":
		s.enter(w, account, payload)
	case path == "order":
		s.order(w, account, payload)
	case path == "revoke":
		s.revoke(w, account, payload)
	case kind == "orders" || kind == "authz" || kind == "challenge" || kind == "finalize" || kind == "certificate":
		s.resource(w, account, kind, rest, payload)
	default:
		s.refuse(w, &problemDocument{Type: "malformed", Detail: "no such thing", Status: http.StatusNotFound})
	}
}

// open checks nonce, URL and signature, and gives whose request it is.
func (s *server) open(r *http.Request, path string) (*accountOf, []byte, *problemDocument) {
	bad := func(kind, detail string) (*accountOf, []byte, *problemDocument) {
		return nil, nil, &problemDocument{Type: kind, Detail: detail, Status: http.StatusBadRequest}
	}
	var j signed
	var h header
	decode := base64.RawURLEncoding.DecodeString
	if err := json.NewDecoder(r.Body).Decode(&j); err != nil {
		return bad("malformed", "no JWS")
	}
	protected, _ := decode(j.Protected)
	payload, _ := decode(j.Payload)
	signature, _ := decode(j.Signature)
	if err := json.Unmarshal(protected, &h); err != nil || h.Alg != "ES256" || len(signature) != 64 || r.Header.Get("Content-Type") != "application/jose+json" {
		return bad("malformed", "no JWS of ES256")
	}
	if !s.nonces[h.Nonce] || s.badNonces > 0 {
		s.badNonces--
		return bad("badNonce", "an unknown nonce")
	}
	delete(s.nonces, h.Nonce)
	if h.URL != s.url(path) {
		return bad("unauthorized", "it was signed for another URL")
	}
	account := &accountOf{}
	if h.JWK != nil {
		x, _ := decode(h.JWK.X)
		y, _ := decode(h.JWK.Y)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil {
			return bad("badPublicKey", "no point of P-256")
		}
		account.key = key
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, h.JWK.X, h.JWK.Y))
		account.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	} else {
		for _, a := range s.accounts {
			if h.Kid == s.url(fmt.Sprintf("accounts/%d", a.number)) {
				account = a
			}
		}
		if account.key == nil {
			return bad("accountDoesNotExist", "no such account")
		}
	}
	digest := sha256.Sum256([]byte(j.Protected + "." + j.Payload))
	if account.key == nil || !ecdsa.Verify(account.key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return bad("unauthorized", "the signature is wrong")
	}
	return account, payload, nil
}

func (s *server) enter(w http.ResponseWriter, account *accountOf, payload []byte) {
	var want struct {
		OnlyReturnExisting     bool
		TermsOfServiceAgreed   bool
		ExternalAccountBinding *signed
	}
	_ = json.Unmarshal(payload, &want)
	known := s.accounts[account.thumbprint]
	status := http.StatusOK
	switch {
	case known != nil:
		account = known
	case want.OnlyReturnExisting:
		s.refuse(w, &problemDocument{Type: "accountDoesNotExist", Detail: "no such account", Status: http.StatusBadRequest})
		return
	case s.eab && want.ExternalAccountBinding == nil:
		s.refuse(w, &problemDocument{Type: "externalAccountRequired", Detail: "bind it", Status: http.StatusForbidden})
		return
	default:
		status, account.number = http.StatusCreated, len(s.accounts)+1
		if want.ExternalAccountBinding != nil {
			protected, _ := base64.RawURLEncoding.DecodeString(want.ExternalAccountBinding.Protected)
			account.bound = string(protected)
		}
		s.accounts[account.thumbprint] = account
	}
	w.Header().Set("Location", s.url(fmt.Sprintf("accounts/%d", account.number)))
	s.answer(w, status, map[string]any{"status": "valid"})
}

// authority is one that asks this server.
func (s *server) authority(t *testing.T, change func(*Authority)) *Authority {
	t.Helper()
	dir := t.TempDir()
	for name, certs := range map[string][]*x509.Certificate{"tls.pem": {s.http.Certificate()}, "roots.pem": s.issuer.Above} {
		if err := os.WriteFile(filepath.Join(dir, name), pemfile.EncodeCertificates(certs...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := s.plain(t, dir)
	if change != nil {
		change(a)
	}
	a.solvers = newSolvers(a.settings)
	return a
}

// look checks a challenge as a server does, from outside.
func (s *server) look(z *authzOf, kind string, account *accountOf) *problemDocument {
	s.mu.Unlock() // what is looked at may have to ask this server meanwhile
	defer s.mu.Lock()
	want := z.token + "." + account.thumbprint
	sum := sha256.Sum256([]byte(want))
	wrong := &problemDocument{Type: "unauthorized", Detail: "the answer is wrong", Status: http.StatusForbidden}
	switch kind {
	case "http-01":
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.httpAt+"/.well-known/acme-challenge/"+z.token, nil)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return &problemDocument{Type: "connection", Detail: "nobody is there", Status: http.StatusBadRequest}
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); string(body) != want {
			return wrong
		}
	case "tls-alpn-01":
		conn, err := tls.Dial("tcp", s.tlsAt, &tls.Config{ServerName: serverName(acme.Identifier{Type: z.identifier.Type, Value: z.identifier.Value}), NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
		if err != nil {
			return &problemDocument{Type: "tls", Detail: "no handshake", Status: http.StatusBadRequest}
		}
		defer conn.Close()
		leaf := conn.ConnectionState().PeerCertificates[0]
		if !slices.ContainsFunc(leaf.Extensions, func(e pkixExtension) bool {
			return e.Critical && e.Id.String() == "1.3.6.1.5.5.7.1.31" && bytes.HasSuffix(e.Value, sum[:])
		}) {
			return wrong
		}
	case "dns-01":
		zone, _ := os.ReadFile(s.zone)
		if !strings.Contains(string(zone), "_acme-challenge."+z.identifier.Value+" "+base64.RawURLEncoding.EncodeToString(sum[:])+"\n") {
			return wrong
		}
	}
	return nil
}
