package config

// Backend is one entry under backends: exactly one of its fields is set. Line
// and Column are where it begins.
type Backend struct {
	Place `yaml:"-"`

	Vault      *Vault      `yaml:"vault" doc:"A PKI mount of HashiCorp Vault or OpenBao."`
	AWSPCA     *AWSPCA     `yaml:"awspca" doc:"A certificate authority in AWS Private CA."`
	ACME       *ACME       `yaml:"acme" doc:"An ACME server."`
	Kubernetes *Kubernetes `yaml:"kubernetes" doc:"A signer of a Kubernetes cluster."`
	Local      *Local      `yaml:"local" doc:"An intermediate in the state directory."`
}

// Vault is a PKI mount of Vault, and the way in.
type Vault struct {
	Mount      string `yaml:"mount" need:"yes" like:"pki" doc:"The path of the PKI mount."`
	Role       string `yaml:"role" like:"mesh" doc:"The role that signs."`
	Mode       string `yaml:"mode" of:"sign sign-verbatim" doc:"Which call signs; without it, sign."`
	Issuer     string `yaml:"issuer" like:"issuing-2026" doc:"One issuer of several in the mount, by name or identifier."`
	Address    string `yaml:"address" is:"server address" like:"https://vault:8200" doc:"The server; without it, VAULT_ADDR."`
	Namespace  string `yaml:"namespace" like:"team-a" doc:"The namespace in Vault; without it, VAULT_NAMESPACE."`
	CACert     string `yaml:"caCert" like:"/etc/vault/ca.pem" doc:"A file with the roots that the server is trusted by; without it, VAULT_CACERT."`
	ServerName string `yaml:"serverName" is:"server name" like:"vault.example.com" doc:"The name that the server's certificate has to carry; without it, VAULT_TLS_SERVER_NAME."`
	Roots      string `yaml:"roots" like:"/etc/vault/mesh-roots.pem" doc:"A file with the roots that the mount's chains end at, where the mount does not hold them."`
	Auth       *Auth  `yaml:"auth" doc:"How to log in; without it, VAULT_TOKEN."`
}

// Auth is a way into Vault: exactly one of its fields is set.
type Auth struct {
	Place `yaml:"-"`

	Token      *TokenAuth   `yaml:"token" like:"{file: /run/secrets/vault-token}" doc:"A token from a file."`
	AppRole    *AppRoleAuth `yaml:"approle" doc:"An AppRole."`
	Kubernetes *JWTAuth     `yaml:"kubernetes" doc:"The token of a Kubernetes service account."`
	JWT        *JWTAuth     `yaml:"jwt" doc:"A JSON Web Token from a file."`
	Cert       *CertAuth    `yaml:"cert" doc:"A TLS client certificate."`
	AWS        *AWSAuth     `yaml:"aws" doc:"An AWS identity (IAM)."`
}

// TokenAuth is a token in a file, or an agent's sink.
type TokenAuth struct {
	File string `yaml:"file" need:"yes" like:"/run/secrets/vault-token" doc:"The file that holds the token, read again when it changes."`
}

// AppRoleAuth is a role identifier and the file with its secret.
type AppRoleAuth struct {
	Mount        string `yaml:"mount" like:"approle" doc:"Where the method is mounted; without it, approle."`
	RoleID       string `yaml:"roleId" need:"yes" like:"6f1c7b50-0d2c-4a0e-9d5e-1a2b3c4d5e6f" doc:"The role's identifier."`
	SecretIDFile string `yaml:"secretIdFile" need:"yes" like:"/run/secrets/vault-secret-id" doc:"The file that holds the secret identifier."`
	Wrapped      bool   `yaml:"wrapped" doc:"The file holds a response-wrapping token, not the secret identifier itself."`
}

// JWTAuth is a role and the file with a token that proves who asks.
type JWTAuth struct {
	Mount     string `yaml:"mount" like:"kubernetes" doc:"Where the method is mounted; without it, its own name."`
	Role      string `yaml:"role" need:"yes" like:"meshpki" doc:"The role to log in as."`
	TokenFile string `yaml:"tokenFile" like:"/run/secrets/jwt" doc:"The file that holds the token; for kubernetes, the pod's own without it."`
}

// CertAuth is a TLS client certificate and its key.
type CertAuth struct {
	Mount    string `yaml:"mount" like:"cert" doc:"Where the method is mounted; without it, cert."`
	Name     string `yaml:"name" like:"meshpki" doc:"The certificate role to log in as; without it, Vault finds one."`
	CertFile string `yaml:"certFile" need:"yes" like:"/etc/meshpki/tls.crt" doc:"The client certificate and its chain."`
	KeyFile  string `yaml:"keyFile" need:"yes" like:"/etc/meshpki/tls.key" doc:"Its private key."`
}

// AWSAuth is a role that an AWS identity logs in as. The credentials are found
// where every AWS tool looks for them.
type AWSAuth struct {
	Mount    string `yaml:"mount" like:"aws" doc:"Where the method is mounted; without it, aws."`
	Role     string `yaml:"role" like:"meshpki" doc:"The role to log in as."`
	Region   string `yaml:"region" like:"eu-central-1" doc:"The region whose STS signs the request."`
	ServerID string `yaml:"serverId" like:"vault.example.com" doc:"The value of X-Vault-AWS-IAM-Server-ID, where the mount wants one."`
}

// AWSPCA is a certificate authority in AWS Private CA.
type AWSPCA struct {
	ARN    string `yaml:"arn" need:"yes" is:"ARN" like:"arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/1f2e3d4c" doc:"The authority's ARN."`
	Region string `yaml:"region" like:"eu-central-1" doc:"The region, where it is not the one in the ARN."`
	// Template is looked at where the backend is opened: there the names are known.
	Template string `yaml:"template" like:"EndEntityCertificate" doc:"The template that every leaf is signed by; without it, the one that fits each."`
	Rate     int    `yaml:"rate" like:"25" doc:"How many certificates may be asked for in a second: the account's quota; without it, 25."`
}

// ACME is an ACME server and the account with it.
type ACME struct {
	Directory      string   `yaml:"directory" need:"yes" is:"web address" like:"https://acme.example.com/directory" doc:"The directory's URL."`
	Contact        []string `yaml:"contact" is:"email address" like:"pki@example.com" doc:"Whom the server may write to."`
	AccountKeyFile string   `yaml:"accountKeyFile" like:"/etc/meshpki/acme.key" doc:"The account's private key; without it, one in the state directory."`
	CACert         string   `yaml:"caCert" like:"/etc/acme/ca.pem" doc:"A file with the roots that the server is trusted by; without it, the system's."`
	EAB            *EAB     `yaml:"eab" doc:"External account binding, where the server asks for it."`

	Profile        string      `yaml:"profile" like:"tlsserver" doc:"One of the server's profiles; without it, the server's default."`
	PreferredChain string      `yaml:"preferredChain" like:"ISRG Root X1" doc:"The common name of an issuer in the chain that is wanted, where the server offers several."`
	Roots          string      `yaml:"roots" like:"/etc/acme/roots.pem" doc:"A file with the roots that its certificates lead to; without it, one that this system trusts, or one of caCert."`
	Challenge      *Challenges `yaml:"challenge" doc:"How names are proved to be ours; without it, by http-01 on port 80."`
}

// Challenges are the ways in which names can be proved to an ACME server; of several
// the first that the server offers is taken.
type Challenges struct {
	HTTP *HTTPChallenge `yaml:"http" doc:"http-01 (RFC 8555, Section 8.3)."`
	TLS  *TLSChallenge  `yaml:"tls" doc:"tls-alpn-01 (RFC 8737)."`
	DNS  *DNSChallenge  `yaml:"dns" doc:"dns-01 (RFC 8555, Section 8.4); the only way for wildcards."`
}

// HTTPChallenge answers http-01: exactly one of its fields is set.
type HTTPChallenge struct {
	Place `yaml:"-"`

	Listen  string `yaml:"listen" is:"listen address" like:":80" doc:"Where meshpki itself answers, while an order is on its way; the server looks at port 80."`
	Webroot string `yaml:"webroot" is:"absolute path" like:"/var/www/html" doc:"The directory from which a web server on port 80 answers."`
}

// TLSChallenge answers tls-alpn-01.
type TLSChallenge struct {
	Listen string `yaml:"listen" need:"yes" is:"listen address" like:":443" doc:"Where meshpki itself answers, while an order is on its way; the server looks at port 443."`
}

// DNSChallenge answers dns-01 by a program.
type DNSChallenge struct {
	Hook    []string `yaml:"hook" need:"yes" like:"[/usr/local/bin/acme-dns]" doc:"A program and its arguments; present or cleanup, the record's name and its value follow them."`
	Wait    string   `yaml:"wait" is:"validity" like:"30s" doc:"How long a new record takes until everybody sees it; without it, the hook waits itself."`
	Timeout string   `yaml:"timeout" is:"validity" like:"2m" doc:"How long the program may take; without it, 2m."`
}

// EAB is the external account binding that some ACME servers ask for.
type EAB struct {
	KeyID       string `yaml:"keyId" need:"yes" like:"kid-1" doc:"The key's identifier."`
	HMACKeyFile string `yaml:"hmacKeyFile" need:"yes" like:"/run/secrets/acme-hmac" doc:"The file that holds the key."`
}

// Kubernetes is a signer of a cluster, asked by CertificateSigningRequest.
type Kubernetes struct {
	SignerName  string `yaml:"signerName" need:"yes" is:"signer name" like:"example.com/mesh" doc:"The signer's name."`
	Kubeconfig  string `yaml:"kubeconfig" like:"/etc/meshpki/kubeconfig" doc:"The way to the cluster; without it, the pod's own, or as kubectl finds it."`
	Context     string `yaml:"context" like:"prod" doc:"One context of the kubeconfig."`
	CACert      string `yaml:"caCert" like:"/etc/meshpki/signer.pem" doc:"A file with the signer's roots; without it and trustBundle, those of its ClusterTrustBundles."`
	TrustBundle string `yaml:"trustBundle" like:"example.com:mesh:roots" doc:"The ClusterTrustBundle with the signer's roots."`
}

// Local is an intermediate in the state directory.
type Local struct {
	Intermediate string `yaml:"intermediate" need:"yes" like:"issuing" doc:"Its name."`
}
