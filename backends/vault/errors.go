package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/meshpki/meshpki/ca"
)

// away is why Vault cannot be asked now. It wraps ca.ErrAway.
type away struct {
	why   string
	retry time.Duration // how long it wants to be left alone, if it said so
}

func (a *away) Error() string { return ca.ErrAway.Error() + ": " + a.why }
func (a *away) Unwrap() error { return ca.ErrAway }

// remedied is an error with what mends it.
type remedied struct {
	error
	remedy string
}

func (r *remedied) Unwrap() error  { return r.error }
func (r *remedied) Remedy() string { return r.remedy }

// said is an answer that is an error, and none that will pass.
type said struct {
	what   string
	status int
	text   string
}

func (s *said) Error() string { return fmt.Sprintf("%s: Vault says %d: %s", s.what, s.status, s.text) }

func isStatus(err error, status int) bool {
	s, ok := errors.AsType[*said](err)
	return ok && s.status == status
}

// classify tells what will pass from what will not.
func (c *client) classify(what string, err error) error {
	if r, ok := errors.AsType[*api.ResponseError](err); ok {
		text := clean(strings.Join(r.Errors, "; "))
		if text == "" {
			text = http.StatusText(r.StatusCode)
		}
		switch {
		case r.StatusCode == http.StatusServiceUnavailable && strings.Contains(text, "sealed"):
			return &away{why: "Vault at " + c.address + " is sealed"}
		case r.StatusCode == http.StatusTooManyRequests:
			return &away{why: "Vault at " + c.address + " has been asked too often: " + text, retry: time.Second}
		case r.StatusCode == http.StatusPreconditionFailed, r.StatusCode == 472, r.StatusCode == 473:
			return &away{why: fmt.Sprintf("Vault at %s is a standby that does not answer yet (%d)", c.address, r.StatusCode)}
		case r.StatusCode >= 500 && r.StatusCode != http.StatusNotImplemented:
			return &away{why: fmt.Sprintf("Vault at %s says %d: %s", c.address, r.StatusCode, text)}
		}
		return &said{what, r.StatusCode, text}
	}
	return &away{why: "Vault at " + c.address + " cannot be reached: " + reach(err)}
}

// reach says in words why there is no connection.
func reach(err error) string {
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		_ = e
		return "its certificate is of an authority that is not trusted; caCert: or VAULT_CACERT names the roots"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its certificate is not for " + clean(e.Host) + "; serverName: or VAULT_TLS_SERVER_NAME names the name it has"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "its certificate will not do: " + clean(e.Error())
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate cannot be verified: " + clean(e.Err.Error())
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return "there is no address of " + clean(e.Name)
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "it did not answer in time"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return clean(e.Err.Error())
	}
	return clean(lastOf(err))
}

// lastOf is the innermost part of an error, without the URL that stands before it.
func lastOf(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// clean puts what came from a server on one line, and bounds it.
func clean(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	for _, noise := range []string{"1 error occurred: ", "errors occurred: "} {
		if at := strings.Index(s, noise); at >= 0 {
			s = s[at+len(noise):]
		}
	}
	s = strings.TrimPrefix(s, "* ")
	if len(s) > 500 {
		s = s[:500] + "…"
	}
	return s
}

// beyondCA recognises the refusal of a life that would outlive the issuer, and the
// issuer's end in it.
func beyondCA(err error) (limit time.Time, ok bool) {
	s, is := errors.AsType[*said](err)
	if !is || s.status != http.StatusBadRequest || !strings.Contains(s.text, "beyond the expiration of the CA") {
		return limit, false
	}
	// "cannot satisfy request, as TTL would result in notAfter of A that is beyond the
	// expiration of the CA certificate at B"
	times := regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`).FindAllString(s.text, -1)
	if len(times) == 0 {
		return limit, false
	}
	limit, bad := time.Parse(time.RFC3339Nano, times[len(times)-1])
	return limit, bad == nil
}

// refused turns Vault's no into what a caller can branch on, with the command that
// would make it a yes.
func (a *Authority) refused(ctx context.Context, err error) error {
	s, ok := errors.AsType[*said](err)
	if !ok {
		return err
	}
	refusal := &ca.Refusal{What: "the request", Why: a.String() + " says: " + s.text}
	switch s.status {
	case http.StatusForbidden:
		refusal.Why = "Vault's policies do not let this token " + s.what
		return &remedied{refusal, "meshpki backend check " + a.String() + " --suggest prints the policy that would do"}
	case http.StatusNotFound:
		refusal.Why = "there is no " + s.what[strings.LastIndexByte(s.what, ' ')+1:] + " at " + a.client.address + ": " + s.text
		return &remedied{refusal, "vault secrets list names the mounts"}
	}
	what, remedy := a.reasonOf(ctx, s.text)
	if what != "" {
		refusal.What = what
	}
	if remedy == "" {
		return refusal
	}
	return &remedied{refusal, remedy}
}
