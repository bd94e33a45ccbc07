// Package localaws is an AWS Private CA for tests and for trying things out: a server
// that speaks the service's own protocol (JSON 1.1, requests signed with Signature
// Version 4) and keeps its certificate authorities in memory, with real keys. What
// its templates keep, drop and add, the states, errors, delays, limits and the window
// of idempotency tokens are those of the service. Nothing of it is in the program.
package localaws

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server is one account's AWS Private CA in one region. The zero value with Now set is
// ready to use. Its fields do not change once it is in use, but for what Configure
// changes; it is safe for concurrent use and must not be copied.
type Server struct {
	// Now tells the time that certificates are made at; it must be set.
	Now func() time.Time
	// Clock tells the time that requests are signed at; nil is Now.
	Clock func() time.Time
	// Region, Account and Partition are eu-central-1, 111122223333 and aws without.
	Region, Account, Partition string
	// Keys are the access keys that may ask; none: ExampleKey.
	Keys []AccessKey

	// Rules may be changed while it is in use, by Configure.
	Rules

	mu          sync.Mutex
	authorities map[string]*authority
	order       []string // ARNs of authorities, oldest first
	issued      map[string]*issued
	tokens      map[string]remembered
	buckets     map[string]*bucket
	calls       []Call
	counts      map[string]int
	made        int
}

// Rules say how the service treats those who ask.
type Rules struct {
	// InProgress is how many times GetCertificate says of each certificate that it is
	// not ready; Delay is how long besides.
	InProgress int
	Delay      time.Duration
	// Quotas are requests a second by operation; one that is missing is not limited.
	Quotas map[string]float64
	// Certificates is how many an authority may issue; 0 is a million.
	Certificates int
	// Denied are rights that the caller lacks: an operation, or IssueCertificate and the
	// name of a template with a space between.
	Denied []string
	// Fault, if set, is asked before anything is done about a request, and may answer it
	// with an error. n counts the requests for this operation, from 1.
	Fault func(operation string, n int) *Fault
	// After, if set, is asked when a request has been carried out: a fault is told
	// instead of what was done.
	After func(operation string, n int) *Fault
}

// Fault is an answer that is none: an error of the service's, or with Hang up nothing.
type Fault struct {
	Status  int // of HTTP; 0 is 400
	Code    string
	Message string
	HangUp  bool
}

func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// Throttled is how the service says that it was asked too often.
func Throttled() *Fault { return &Fault{Code: "ThrottlingException", Message: "Rate exceeded"} }

// AccessKey is a key that requests are signed with.
type AccessKey struct {
	ID, Secret string
	// Session is the token that goes with a temporary key; Expires, when it ends.
	Session string
	Expires time.Time
	// Principal is who holds it; without it, a user called mesh.
	Principal string
}

// ExampleKey is the key of AWS's own documentation, which opens nothing.
func ExampleKey() AccessKey {
	return AccessKey{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
}

// Call is one request that was received.
type Call struct {
	Operation string
	At        time.Time // by Clock
	Code      string    // of the error that was answered; empty for none
}

// Configure changes the rules.
func (s *Server) Configure(change func(*Rules)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.Rules)
	s.buckets = nil
}

// Calls gives the requests for an operation that were received so far; for "" all.
func (s *Server) Calls(operation string) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Call
	for _, c := range s.calls {
		if operation == "" || c.Operation == operation {
			out = append(out, c)
		}
	}
	return out
}

func (s *Server) clock() time.Time {
	if s.Clock != nil {
		return s.Clock()
	}
	return s.Now()
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (s *Server) region() string    { return orElse(s.Region, "eu-central-1") }
func (s *Server) account() string   { return orElse(s.Account, "111122223333") }
func (s *Server) partition() string { return orElse(s.Partition, "aws") }

// bucket is a token bucket that holds what a second brings.
type bucket struct {
	tokens float64
	last   time.Time
}

// take takes a token of an operation's bucket; s.mu is held.
func (s *Server) take(operation string) bool {
	rate, limited := s.Quotas[operation]
	if !limited {
		return true
	}
	now := s.clock()
	b, ok := s.buckets[operation]
	if !ok {
		b = &bucket{tokens: max(rate, 1), last: now}
		if s.buckets == nil {
			s.buckets = map[string]*bucket{}
		}
		s.buckets[operation] = b
	}
	b.tokens = min(max(rate, 1), b.tokens+now.Sub(b.last).Seconds()*rate)
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

const (
	mostBody     = 1 << 20
	targetPrefix = "ACMPrivateCA."
)

// ServeHTTP answers one request of the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		http.Error(w, "cannot read the request", http.StatusBadRequest)
		return
	}
	operation, known := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !known || r.Method != http.MethodPost {
		operation = "?"
	}
	out, fault, number := s.answer(r, operation, body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", fmt.Sprintf("00000000-0000-4000-8000-%012x", number))
	if fault == nil {
		if out == nil {
			return // those without a result have an empty body
		}
		_ = json.NewEncoder(w).Encode(out)
		return
	}
	if fault.HangUp {
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.Close()
				return
			}
		}
	}
	status := fault.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": fault.Code, "message": fault.Message})
}

// answer carries one request out and keeps count of it.
func (s *Server) answer(r *http.Request, operation string, body []byte) (any, *Fault, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[operation]++
	n := s.counts[operation]
	out, fault := s.carryOut(r, operation, body, n)
	if fault == nil && s.After != nil {
		fault = s.After(operation, n)
	}
	c := Call{Operation: operation, At: s.clock()}
	if fault != nil {
		c.Code = orElse(fault.Code, "HangUp")
	}
	s.calls = append(s.calls, c)
	return out, fault, len(s.calls)
}

// carryOut asks in the order of the service: who it is, how often, what for, and
// whether he may; s.mu is held.
func (s *Server) carryOut(r *http.Request, operation string, body []byte, n int) (any, *Fault) {
	if s.Fault != nil {
		if f := s.Fault(operation, n); f != nil {
			return nil, f
		}
	}
	key, fault := s.authenticate(r, body)
	if fault != nil {
		return nil, fault
	}
	if !s.take(operation) {
		return nil, Throttled()
	}
	do, ok := s.operations()[operation]
	if !ok {
		return nil, &Fault{Code: "UnknownOperationException", Message: "there is no such operation here: " + operation}
	}
	if r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return nil, &Fault{Status: http.StatusNotFound, Code: "UnknownOperationException", Message: "the content is not JSON 1.1"}
	}
	var about struct {
		CertificateAuthorityArn string
		TemplateArn             string
	}
	if err := json.Unmarshal(body, &about); err != nil {
		return nil, &Fault{Code: "SerializationException", Message: "the content is no JSON"}
	}
	if f := s.authorize(key, operation, about.CertificateAuthorityArn, about.TemplateArn); f != nil {
		return nil, f
	}
	return do(body)
}

// operations are those that are known here.
func (s *Server) operations() map[string]func([]byte) (any, *Fault) {
	return map[string]func([]byte) (any, *Fault){
		"CreateCertificateAuthority":            with(s.create),
		"DescribeCertificateAuthority":          with(s.describe),
		"ListCertificateAuthorities":            with(s.list),
		"UpdateCertificateAuthority":            with(s.update),
		"DeleteCertificateAuthority":            with(s.remove),
		"GetCertificateAuthorityCsr":            with(s.request),
		"ImportCertificateAuthorityCertificate": with(s.install),
		"GetCertificateAuthorityCertificate":    with(s.authorityCertificate),
		"IssueCertificate":                      with(s.issue),
		"GetCertificate":                        with(s.certificate),
		"RevokeCertificate":                     with(s.revoke),
	}
}

// with reads what an operation takes.
func with[In any](do func(In) (any, *Fault)) func([]byte) (any, *Fault) {
	return func(body []byte) (any, *Fault) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, &Fault{Code: "SerializationException", Message: err.Error()}
		}
		return do(in)
	}
}

// authorize looks for the right to do something.
func (s *Server) authorize(key AccessKey, operation, arn, template string) *Fault {
	name := operation
	if operation == "IssueCertificate" {
		_, name, _ = strings.Cut(template, ":::template/")
		name = "IssueCertificate " + orElse(strings.TrimSuffix(name, "/V1"), "EndEntityCertificate")
	}
	if !slices.Contains(s.Denied, operation) && !slices.Contains(s.Denied, name) {
		return nil
	}
	who := orElse(key.Principal, fmt.Sprintf("arn:%s:iam::%s:user/mesh", s.partition(), s.account()))
	return &Fault{Code: "AccessDeniedException", Message: fmt.Sprintf("User: %s is not authorized to perform: acm-pca:%s on resource: %s because no identity-based policy allows the acm-pca:%s action",
		who, operation, orElse(arn, "*"), operation)}
}
