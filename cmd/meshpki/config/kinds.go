package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/spiffeid"
	"github.com/meshpki/meshpki/renew"
)

// form is what a text of some kind looks like.
type form struct {
	check   func(s string) (problem string) // "" is good
	pattern string                          // for the schema; it may let more through than check does
}

// forms are the kinds of text that a manifest holds, by what the tag 'is' calls them.
var forms = map[string]form{
	"trust domain":   {checkTrustDomain, `^(spiffe://)?[a-z0-9._-]{1,255}$`},
	"domain":         {checkDomain, `^[A-Za-z0-9_.-]{1,253}$`},
	"DNS name":       {checkDNS, `^(\*\.)?[A-Za-z0-9_.-]{1,253}$`},
	"server name":    {checkServerName, ""},
	"IP address":     {checkIP, `^[0-9A-Fa-f:.]+$`},
	"email address":  {checkEmail, `^[!-?A-~]+@[A-Za-z0-9.-]+$`},
	"URI":            {checkURI, `^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$`},
	"SPIFFE ID":      {checkSPIFFEID, `^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)*$`},
	"label":          {checkLabel, labelPattern},
	"name":           {checkName, namePattern},
	"entry name":     {checkEntryName, entryNamePattern},
	"backend":        {checkBackend, ""},
	"validity":       {checkValidity, `^([0-9.]+(ns|us|µs|ms|s|m|h|d|w|y))+$`},
	"cron":           {checkCron, `^ *[^ @]+( +[^ ]+){4} *$`},
	"zone":           {checkZone, `^[A-Za-z0-9_+/-]+$`},
	"variable":       {checkVariable, variablePattern},
	"unit":           {checkUnit, unitPattern},
	"percent":        {checkPercent, `^[1-9][0-9]?%$`},
	"mode":           {checkMode, `^0?[4-7][0-7]0$`},
	"owner":          {checkOwner, ownerPattern},
	"account":        {checkAccount, accountPattern},
	"absolute path":  {checkAbsolute, `^/`},
	"server address": {checkAddress, `^(https?|unix)://`},
	"web address":    {checkWeb, `^https?://`},
	"endpoint":       {checkEndpoint, ""},
	"listen address": {checkListen, `^[0-9A-Za-z.:_\[\]-]*[0-9]$`},
	"ARN":            {checkARN, arnPattern},
	"signer name":    {checkSignerName, signerPattern},
	"publication":    {CheckPublication, publicationPattern},
	"label key":      {checkLabelKey, labelKeyPattern},
	"object key":     {checkObjectKey, objectKeyPattern},
	"profile":        {checkProfileName, profilePattern},
	"profile name":   {checkNewProfile, profilePattern},
	"usage":          {checkUsage, ""},
	"cert usage":     {checkCertificateUsage, ""},
	"issuer name":    {checkIssuerName, `^[A-Za-z0-9./-]+$`},
	"policy":         {checkOID, `^[0-2](\.[0-9]+)+$`},
	"subject":        {checkSubject, ""},
	"CRL address":    {located(ca.CheckCRLURL), `^(http|ldap)://`},
	"OCSP address":   {located(ca.CheckOCSPURL), `^http://`},
	"issuer address": {located(ca.CheckCAIssuersURL), `^(http|ldap)://`},
}

// Patterns that check and schema share.
const (
	labelPattern     = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	namePattern      = `^[a-z0-9]([-_a-z0-9]{0,61}[a-z0-9])?$`
	entryNamePattern = `^[A-Za-z0-9][A-Za-z0-9._-]*$`
	ownerPattern     = `^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$`
	accountPattern   = `^[A-Za-z0-9_.-]+$`
	variablePattern  = `^[A-Za-z_][A-Za-z0-9_]*$`
	unitPattern      = `^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}$`
	arnPattern       = `^arn:[^:]+:acm-pca:[^:]+:[0-9]{12}:certificate-authority/`
	profilePattern   = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	labelKeyPattern  = `^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`
	signerPattern    = `^[a-z0-9.-]+/[A-Za-z0-9._-]+$`
	objectKeyPattern = `^[-._a-zA-Z0-9]{1,253}$`

	publicationPattern = `^(configmap:[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?|clustertrustbundle:([a-z0-9.-]+:[a-z0-9._-]+:)?[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)$`
)

// The patterns, compiled when they are first needed: most commands read no manifest.
var (
	labelForm     = lazy(labelPattern)
	nameForm      = lazy(namePattern)
	entryNameForm = lazy(entryNamePattern)
	ownerForm     = lazy(ownerPattern)
	accountForm   = lazy(accountPattern)
	variableForm  = lazy(variablePattern)
	unitForm      = lazy(unitPattern)
	arnForm       = lazy(arnPattern)
	signerForm    = lazy(signerPattern)
	objectKeyForm = lazy(objectKeyPattern)

	publicationForm = lazy(publicationPattern)
	labelKeyForm    = lazy(labelKeyPattern)
	labelValueForm  = lazy(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
)

// lazy is a pattern that costs a program nothing that does not use it.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// said turns an error into a problem.
func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// located names the URL before what is wrong with it, unless there may be a secret in it.
func located(problem func(string) string) func(string) string {
	return func(s string) string {
		why := problem(s)
		switch {
		case why == "":
			return ""
		case strings.Contains(s, "@"):
			return "a URL with an '@' in it: certificates are public, and no secret stands in them"
		}
		return quote(s) + " " + why
	}
}

func checkTrustDomain(s string) string {
	_, err := spiffeid.ParseTrustDomain(s)
	return said(err)
}

func checkSPIFFEID(s string) string {
	_, err := spiffeid.Parse(s)
	return said(err)
}

// checkLabelKey is for the key of a label or an annotation that is written on a Secret.
func checkLabelKey(s string) string {
	domain, _, prefixed := strings.Cut(s, "/")
	switch {
	case !labelKeyForm().MatchString(s):
		return quote(s) + " is no key of a label or an annotation: a name of letters, digits, '-', '_' and '.', perhaps behind a domain and a slash, is expected"
	case prefixed && (domain == "meshpki.github.io" || domain == "cert-manager.io" || strings.HasSuffix(domain, ".cert-manager.io")):
		return quote(s) + ": keys below " + domain + " are written by its own programs alone"
	}
	return ""
}

func checkLabel(s string) string {
	if labelForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is not a name: lower-case letters, digits and '-' only, 1 to 63 of them, a letter or digit at both ends (RFC 1123, Section 2.1)"
}

// checkName lets '_' through: whether the identity allows it is the service's to say.
func checkName(s string) string {
	if nameForm().MatchString(s) {
		return ""
	}
	return checkLabel(s)
}

func checkEntryName(s string) string {
	switch {
	case s == "local":
		return `"local" is the state directory's own backend: another name is needed`
	case !entryNameForm().MatchString(s):
		return quote(s) + " is no name for a backend: letters, digits, '-', '_' and '.' only, a letter or digit first"
	}
	return ""
}

func checkBackend(s string) string {
	scheme, rest, ok := strings.Cut(s, ":")
	if ok && (scheme == "" || rest == "") {
		return quote(s) + " is no backend: local, local:<intermediate>, vault:<mount>/<role> or a name under backends is expected"
	}
	return ""
}

func checkDNS(s string) string {
	name, wildcard := strings.CutPrefix(s, "*.")
	if wildcard && !strings.Contains(name, ".") {
		return quote(s) + " has a wildcard over a whole top-level domain (RFC 9525, Section 6.3)"
	}
	return dnsProblem(s, name)
}

func checkDomain(s string) string { return dnsProblem(s, s) }

// dnsProblem says what is wrong with a DNS name, its wildcard taken off.
func dnsProblem(s, name string) string {
	switch _, err := netip.ParseAddr(name); {
	case err == nil:
		return quote(s) + " is an IP address, not a DNS name"
	case len(s) > 253:
		return quote(s) + " is longer than 253 bytes (RFC 1035, Section 2.3.4)"
	case strings.HasSuffix(s, "."):
		return quote(s) + " must not end with a dot (RFC 5280, Section 4.2.1.6)"
	case strings.Contains(name, "*"):
		return quote(s) + ` has a wildcard that is not its whole first label: "*.example.com" would be right (RFC 9525, Section 6.3)`
	case strings.IndexFunc(s, func(r rune) bool { return r > '~' }) >= 0:
		return quote(s) + " is not ASCII: write an international name in its xn-- form (RFC 5890, Section 2.3.2.1)"
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, labelBytes) != "" {
			return quote(s) + " is no DNS name: labels of 1 to 63 letters, digits and '-', with dots between them, are expected (RFC 1123, Section 2.1)"
		}
	}
	return ""
}

const labelBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func checkIP(s string) string {
	a, err := netip.ParseAddr(s)
	switch _, rangeErr := netip.ParsePrefix(s); {
	case rangeErr == nil:
		return quote(s) + " is a range: a certificate carries single addresses"
	case err != nil || a.Zone() != "":
		return quote(s) + " is no IP address: 10.0.0.5 or fd00::5 would be"
	}
	return ""
}

func checkServerName(s string) string {
	if _, err := netip.ParseAddr(s); err == nil {
		return ""
	}
	return checkDomain(s)
}

func checkEmail(s string) string {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return quote(s) + " is no email address: name@example.com would be (RFC 5280, Section 4.2.1.6)"
	}
	return ""
}

func checkURI(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" && u.Path == "" || strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return quote(s) + " is no URI: a scheme, ':' and more, in ASCII, are expected (RFC 5280, Section 4.2.1.6)"
	}
	return ""
}

func checkValidity(s string) string {
	d, err := ParseDuration(s)
	if err == nil && d == 0 {
		return quote(s) + " is no time at all: a duration such as 30d is expected"
	}
	return said(err)
}

func checkPercent(s string) string {
	_, err := ParsePercent(s)
	return said(err)
}

func checkCron(s string) string {
	_, err := renew.ParseWindow(s, time.Hour, "")
	return said(err)
}

func checkZone(s string) string {
	_, err := renew.ParseWindow("0 0 * * *", time.Hour, s)
	return said(err)
}

func checkMode(s string) string {
	_, err := ParseMode(s)
	return said(err)
}

func checkOwner(s string) string {
	if ownerForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no owner: a user, or user:group, by name or number, is expected"
}

func checkAccount(s string) string {
	if accountForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no account: a name or a number is expected"
}

func checkVariable(s string) string {
	if variableForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no name of a variable: letters, digits and '_' only, a letter or '_' first"
}

func checkUnit(s string) string {
	if unitForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no name of a unit: one such as payment.service is expected"
}

func checkAbsolute(s string) string {
	if strings.HasPrefix(s, "/") {
		return ""
	}
	return quote(s) + " is not an absolute path"
}

// urlProblem reads a URL of one of those schemes. One with a password in it is
// refused, and not repeated.
func urlProblem(s string, schemes ...string) (*url.URL, string) {
	u, err := url.Parse(s)
	switch {
	case strings.Contains(s, "@") && (err != nil || u.User != nil || u.Host == ""):
		return nil, "a URL with a user or a password in it: secrets do not stand in a manifest"
	case err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "" && u.Path == "":
		return nil, fmt.Sprintf("%s is no address: a URL that starts with %s is expected", quote(s), list(prefixes(schemes)))
	}
	return u, ""
}

func prefixes(schemes []string) []string {
	out := make([]string, 0, len(schemes))
	for _, s := range schemes {
		out = append(out, s+"://")
	}
	return out
}

func checkWeb(s string) string {
	u, problem := urlProblem(s, "https", "http")
	if problem == "" && u.Hostname() == "" {
		return quote(s) + " has no host in it"
	}
	return problem
}

func checkAddress(s string) string {
	u, problem := urlProblem(s, "https", "http", "unix")
	if problem == "" && u.Scheme != "unix" && u.Hostname() == "" {
		return quote(s) + " has no host in it"
	}
	return problem
}

// checkEndpoint takes what can be looked at over the network.
func checkEndpoint(s string) string {
	host, port := "", ""
	if strings.Contains(s, "://") {
		u, problem := urlProblem(s, "tls", "https", "smtp", "imap", "pop3", "ldap", "postgres", "mysql")
		if problem != "" {
			return problem
		}
		if host, port = u.Hostname(), u.Port(); port == "" && u.Scheme != "tls" && !strings.HasSuffix(u.Host, ":") {
			port = "1" // the protocol has one of its own
		}
	} else if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return quote(s) + " is no endpoint: host:port or tls://host:port is expected"
	}
	return ""
}

// checkListen takes an address to listen at: host:port, or a port alone.
func checkListen(s string) string {
	port := s
	if _, p, err := net.SplitHostPort(s); err == nil {
		port = p
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return quote(s) + " is no address to listen at: :80 or 127.0.0.1:8080 would be"
	}
	return ""
}

func checkARN(s string) string {
	if arnForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no ARN of a certificate authority: arn:aws:acm-pca:<region>:<account>:certificate-authority/<id> is expected"
}

// CheckPublication says what is wrong with a reference to an object for roots; "" where
// nothing is.
func CheckPublication(s string) string {
	if publicationForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no object for roots: configmap:<namespace>/<name> or clustertrustbundle:<name> is expected"
}

func checkObjectKey(s string) string {
	if objectKeyForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no key of a ConfigMap: letters, digits, '-', '_' and '.' are expected"
}

func checkSignerName(s string) string {
	if signerForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no signer's name: <domain>/<name> is expected"
}
