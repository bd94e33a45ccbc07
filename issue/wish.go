package issue

import (
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

// Kind is a convention of some mesh on how its workloads are named.
type Kind string

// The conventions. Default is SPIFFE as Istio and SPIRE write it, with the
// service's Kubernetes DNS names.
const (
	Default Kind = ""
	Istio   Kind = "istio"
	Dapr    Kind = "dapr"
	Kuma    Kind = "kuma"
	Consul  Kind = "consul"
	Linkerd Kind = "linkerd"
	Plain   Kind = "plain"
)

// Kinds lists the conventions that have a name.
func Kinds() []Kind { return []Kind{Istio, Dapr, Kuma, Consul, Linkerd, Plain} }

// ParseKind reads the name of a convention.
func ParseKind(s string) (Kind, error) {
	if s == "" || slices.Contains(Kinds(), Kind(s)) {
		return Kind(s), nil
	}
	return "", fmt.Errorf("identity %q is none of istio, dapr, kuma, consul, linkerd, plain", s)
}

// Wish is an identity as a user asks for it: a service, and what is to differ
// from its defaults.
type Wish struct {
	Service, Namespace string
	TrustDomain        spiffeid.TrustDomain
	ClusterDomain      string
	Kind               Kind
	Datacenter         string // Consul's
	SPIFFEID           string // instead of the convention's
	DNS, IP, Email     []string
	URI                []string // beside or, with Plain, instead of the convention's
	ShortNames         bool     // the service's bare name too, in whatever namespace
	NoDefaultDNS       bool
	CommonName         string
	Subject            pkix.RDNSequence
	NoSubject          bool
}

// WishError says which part of a wish cannot be, before anyone is asked.
type WishError struct {
	Field string // service, namespace, uri, …
	Why   string
}

func (e *WishError) Error() string { return e.Field + " " + e.Why }

// Identity turns a wish into an identity. judge, which may be nil, tells which
// names the authority would refuse: default DNS names among those are left out
// and returned, as is a default subject; names that were asked for stay, to be
// refused by their authority.
func (w Wish) Identity(judge func(ca.Name) error) (id ca.Identity, leftOut []ca.Name, err error) {
	if err := w.check(); err != nil {
		return ca.Identity{}, nil, err
	}
	uris, err := w.uris()
	if err != nil {
		return ca.Identity{}, nil, err
	}
	names := ca.Names{URI: uris, IP: w.IP, Email: w.Email}
	for _, n := range w.defaultDNS() {
		// Linkerd's name is the identity itself: it is certified or refused, never left out.
		if w.Kind != Linkerd && judge != nil && judge(ca.Name{Type: ca.DNS, Value: n}) != nil {
			leftOut = append(leftOut, ca.Name{Type: ca.DNS, Value: n})
			continue
		}
		names.DNS = append(names.DNS, n)
	}
	names.DNS = append(names.DNS, w.DNS...)
	names.Subject, leftOut = w.subject(judge, leftOut)
	if id, err = ca.NewIdentity(names); err != nil {
		return ca.Identity{}, nil, err
	}
	if len(id.Names()) == 0 {
		why := "there is no name in it; ask for one with --dns, --ip or --uri"
		if len(leftOut) > 0 {
			why = "every default name is outside the CA's constraints or its profile's rules; ask for one with --dns, --ip or --uri"
		}
		return ca.Identity{}, leftOut, &WishError{"identity " + string(w.Kind), "leaves nothing to certify: " + why}
	}
	return id, leftOut, nil
}

func (w Wish) check() error {
	underscore := w.Kind == Kuma || w.Kind == Consul
	if why := labelProblem(w.Service, underscore); why != "" {
		return &WishError{fmt.Sprintf("service %s", quote(w.Service)), why}
	}
	if why := labelProblem(w.Namespace, underscore); why != "" {
		return &WishError{fmt.Sprintf("namespace %s", quote(w.Namespace)), why}
	}
	if w.Kind == Consul {
		if w.Datacenter == "" {
			return &WishError{"identity consul", "needs the datacenter's name: --datacenter dc1"}
		}
		if why := labelProblem(w.Datacenter, true); why != "" {
			return &WishError{fmt.Sprintf("datacenter %s", quote(w.Datacenter)), why}
		}
	}
	if w.Kind != Consul && w.Datacenter != "" {
		return &WishError{"datacenter", "belongs to --identity consul"}
	}
	if len(w.URI) > 0 && w.Kind != Kuma && w.Kind != Plain {
		return &WishError{"uri " + quote(w.URI[0]), "beside a SPIFFE ID would make the certificate no X509-SVID, which has exactly one URI (X509-SVID, Section 2); ask for --identity plain or kuma"}
	}
	if w.SPIFFEID != "" && (w.Kind == Plain && len(w.URI) > 0) {
		return &WishError{"spiffe-id", "beside --uri would make the certificate no X509-SVID, which has exactly one URI (X509-SVID, Section 2)"}
	}
	given := 0
	for _, set := range []bool{w.CommonName != "", len(w.Subject) > 0, w.NoSubject} {
		if set {
			given++
		}
	}
	if given > 1 {
		return &WishError{"subject", "is given twice: --common-name, --subject and --no-subject exclude each other"}
	}
	return nil
}

// uris are the URI SANs that the convention asks for, and those asked for beside them.
func (w Wish) uris() ([]string, error) {
	if w.SPIFFEID != "" {
		id, err := spiffeid.Parse(w.SPIFFEID)
		if err != nil {
			return nil, &WishError{"spiffe-id", err.Error()}
		}
		if id.Path() == "" {
			return nil, &WishError{"spiffe-id " + quote(w.SPIFFEID), "names a trust domain and no workload: it needs a path (X509-SVID, Section 2)"}
		}
		return append([]string{id.String()}, w.URI...), nil
	}
	td := spiffeid.Scheme + "://" + w.TrustDomain.String()
	switch w.Kind {
	case Linkerd, Plain:
		return w.URI, nil
	case Dapr:
		return []string{td + "/ns/" + w.Namespace + "/" + w.Service}, nil
	case Consul:
		return []string{td + "/ns/" + w.Namespace + "/dc/" + w.Datacenter + "/svc/" + w.Service}, nil
	case Kuma:
		return append([]string{td + "/" + w.Service, "kuma://kuma.io/service/" + w.Service}, w.URI...), nil
	}
	return []string{td + "/ns/" + w.Namespace + "/sa/" + w.Service}, nil
}

// defaultDNS are the names by which a cluster's DNS knows the service.
func (w Wish) defaultDNS() []string {
	if w.Kind == Linkerd {
		return []string{w.Service + "." + w.Namespace + ".serviceaccount.identity.linkerd." + w.TrustDomain.String()}
	}
	if w.NoDefaultDNS || strings.Contains(w.Service+w.Namespace, "_") {
		return nil
	}
	base := w.Service + "." + w.Namespace
	names := []string{base, base + ".svc", base + ".svc." + w.ClusterDomain}
	if w.Namespace == "default" || w.ShortNames {
		// A short name is valid in every namespace, so only where it is meant.
		names = append(names, w.Service)
	}
	return names
}

func (w Wish) subject(judge func(ca.Name) error, leftOut []ca.Name) (pkix.RDNSequence, []ca.Name) {
	switch {
	case w.NoSubject:
		return nil, leftOut
	case len(w.Subject) > 0:
		return w.Subject, leftOut
	case w.CommonName != "":
		return ca.CommonNameOnly(w.CommonName), leftOut
	}
	if judge != nil && judge(ca.Name{Type: ca.CommonName, Value: w.Service}) != nil {
		return nil, append(leftOut, ca.Name{Type: ca.CommonName, Value: w.Service})
	}
	return ca.CommonNameOnly(w.Service), leftOut
}

// labelProblem says why a text is no lower-case RFC 1123 label.
func labelProblem(s string, underscore bool) string {
	ok := s != "" && len(s) <= 63
	for i := range len(s) {
		c := s[i]
		edge := i == 0 || i == len(s)-1
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || !edge && c == '-' || underscore && c == '_')
	}
	if ok {
		return ""
	}
	if underscore {
		return "is not a name: lower-case letters, digits, '_' and, inside, '-' only, 1 to 63 of them"
	}
	return "is not a name: lower-case letters, digits and, inside, '-' only, 1 to 63 of them (RFC 1123, Section 2.1)"
}

func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%+q…", s[:most])
	}
	return fmt.Sprintf("%+q", s)
}
