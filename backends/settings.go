package backends

import "time"

// The settings that an entry of the manifest gives a backend, as they were written;
// what is left empty comes from the environment. Options.Settings holds one of
// these, or nil for a reference that is no entry.

// Vault is a PKI mount of Vault, and the way in.
type Vault struct {
	// Mount is the path of the mount; Role the role that signs, empty where none does.
	Mount, Role string
	// Mode is sign or sign-verbatim, empty for sign; Issuer one issuer of the mount.
	Mode, Issuer                           string
	Address, Namespace, CACert, ServerName string
	// Roots is a file with the roots that the mount's chains end at, where the mount
	// does not hold them itself.
	Roots string
	Auth  *VaultAuth // nil: the token that VAULT_TOKEN or its helpers give
}

// VaultAuth is a way into Vault. Method is token, approle, kubernetes, jwt, cert or
// aws; the other fields are those that it needs.
type VaultAuth struct {
	Method, Mount, Role string
	// TokenFile holds a token or a sink (token), or the JWT (kubernetes, jwt).
	TokenFile string
	RoleID    string
	// SecretIDFile holds the secret identifier, or with Wrapped a token that unwraps it.
	SecretIDFile      string
	Wrapped           bool
	CertFile, KeyFile string
	Region, ServerID  string
}

// AWSPCA is a certificate authority in AWS Private CA.
type AWSPCA struct {
	Region string // where it is not the one in the ARN
	// Template signs every leaf, by its name without /V1; empty: the one that fits each.
	Template string
	// Rate is how many certificates may be asked for in a second; 0 is the usual quota,
	// and a negative number no limit.
	Rate float64
}

// ACME is an ACME server and the account with it.
type ACME struct {
	Contact                []string
	AccountKeyFile, CACert string
	EABKeyID, EABKeyFile   string
	// Profile is one of the server's profiles, and PreferredChain the common name of an
	// issuer in the chain that is wanted, where it offers several; empty is its default.
	Profile, PreferredChain string
	// Roots is a file with what its certificates lead to; empty finds it out.
	Roots string
	// HTTPListen is where http-01 is answered, or HTTPWebroot a directory that a web
	// server answers from. TLSListen is where tls-alpn-01 is answered. Without any of
	// these, and without DNSHook, http-01 is answered on port 80.
	HTTPListen, HTTPWebroot, TLSListen string
	// DNSHook is a program with its arguments, for dns-01; DNSWait is how long a record
	// takes until everybody sees it, and DNSTimeout how long the program may take.
	DNSHook             []string
	DNSWait, DNSTimeout time.Duration
}

// Kubernetes is a signer of a cluster.
type Kubernetes struct {
	Kubeconfig, Context string
	// CACert is a file with the roots, TrustBundle the ClusterTrustBundle with them; without
	// either they are those of the signer's own bundles.
	CACert, TrustBundle string
}
