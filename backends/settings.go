package backends

// The settings that an entry of the manifest gives a backend, as they were written;
// what is left empty comes from the environment. Options.Settings holds one of
// these, or nil for a reference that is no entry.

// Vault is a PKI mount of Vault, and the way in.
type Vault struct {
	// Mode is sign or sign-verbatim, empty for sign; Issuer one issuer of the mount.
	Mode, Issuer                           string
	Address, Namespace, CACert, ServerName string
	Auth                                   *VaultAuth // nil: the token that VAULT_TOKEN or its helpers give
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
}

// ACME is an ACME server and the account with it.
type ACME struct {
	Contact                []string
	AccountKeyFile, CACert string
	EABKeyID, EABKeyFile   string
}

// Kubernetes is a signer of a cluster.
type Kubernetes struct {
	Kubeconfig, Context string
}
