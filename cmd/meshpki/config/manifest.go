package config

import (
	"path/filepath"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/renew"
)

// The structs below are the manifest as it is written. Their tags say what the
// reader (decode.go), the JSON schema (schema.go) and the tests go by:
//
//	yaml  the key
//	is    the form of a text, one of kinds in kinds.go; for a list, of each item;
//	      for a table, of its names
//	of    the words that are accepted
//	need  the key may not be left out
//	beside  where exactly one key is expected, this one may stand beside it
//	like  an example
//	doc   what it means, for editors

// Version is the apiVersion that is read here.
const Version = "meshpki/v1"

// Manifest is a meshpki.yaml as it was written: its forms are checked, and
// defaults are not filled in.
type Manifest struct {
	File string `yaml:"-"` // its name, as given to Load or Parse

	APIVersion    string             `yaml:"apiVersion" need:"yes" of:"meshpki/v1" doc:"Always meshpki/v1."`
	TrustDomain   string             `yaml:"trustDomain" is:"trust domain" like:"cluster.local" doc:"The SPIFFE trust domain of every service here."`
	ClusterDomain string             `yaml:"clusterDomain" is:"domain" like:"cluster.local" doc:"The DNS domain behind the default names of services."`
	Backend       string             `yaml:"backend" is:"backend" like:"vault:pki/mesh" doc:"Who signs: local, local:<intermediate>, a reference such as vault:<mount>/<role>, or a name under backends."`
	Backends      map[string]Backend `yaml:"backends" is:"entry name" doc:"Backends with settings of their own, by name."`
	Issuers       map[string]string  `yaml:"issuers" is:"issuer name" doc:"Which backends cert-manager's issuers are, by name or kind/name: for issue --file of Certificates."`
	CheckpointTo  string             `yaml:"checkpointTo" like:"/var/log/meshpki/checkpoint" doc:"A file, best on another disk, that keeps a copy of the ledger's checkpoint."`
	URLs          URLs               `yaml:"urls" doc:"Where others learn more about a certificate: these stand in what the local authorities sign."`
	Profiles      map[string]Profile `yaml:"profiles" is:"profile name" doc:"Kinds of certificates of your own, by name, beside workload, server, client and peer."`
	Defaults      Defaults           `yaml:"defaults" doc:"What a service is given where it says nothing itself."`
	Services      []Service          `yaml:"services" doc:"The certificates under care."`
	Publish       []Publication      `yaml:"publish" doc:"Where the roots are kept for every pod to mount, and kept fresh."`

	// Of a file of cert-manager's Certificates, which has nothing but services: what else
	// is in it, and the servers of its ACME issuers, by kind and name.
	Certificates bool              `yaml:"-"`
	Skipped      []string          `yaml:"-"`
	ACMEServers  map[string]string `yaml:"-"`

	made map[string]ca.Profile `yaml:"-"` // of Profiles
}

// URLs are where others learn more about a certificate of a local authority; the
// text {authority} in them stands for the name of the authority that signs.
type URLs struct {
	CRL       []string `yaml:"crl" is:"CRL address" like:"http://pki.example.com/{authority}.crl" doc:"Where the authority's CRL is published."`
	OCSP      []string `yaml:"ocsp" is:"OCSP address" like:"http://ocsp.example.com" doc:"An OCSP responder."`
	CAIssuers []string `yaml:"caIssuers" is:"issuer address" like:"http://pki.example.com/{authority}.crt" doc:"Where the authority's own certificate is published."`
}

// Defaults are for every service that says nothing itself.
type Defaults struct {
	Namespace string  `yaml:"namespace" is:"label" like:"prod" doc:"The namespace; without it, default."`
	Validity  string  `yaml:"validity" is:"validity" like:"30d" doc:"How long a certificate lives; without it, what its profile says."`
	RenewAt   string  `yaml:"renewAt" is:"percent" like:"66%" doc:"When it is due for renewal: the part of its lifetime that has passed."`
	Profile   string  `yaml:"profile" is:"profile" like:"workload" doc:"What a certificate may be used for: workload, server, client, peer, or a name under profiles."`
	KeyType   string  `yaml:"keyType" of:"ec-p256 ec-p384 ed25519 rsa-2048 rsa-3072 rsa-4096" doc:"The kind of private key."`
	Backend   string  `yaml:"backend" is:"backend" like:"local" doc:"Who signs; before the manifest's own backend."`
	Layout    Layouts `yaml:"layout" like:"tls" doc:"The files that are written, one layout or a list of them."`
	Windows   Windows `yaml:"windows" doc:"When what can wait may be done; without it, at any time."`

	KeystorePasswordFile string `yaml:"keystorePasswordFile" like:"/etc/meshpki/keystore-password" doc:"The file whose first line is the password of keystores."`
}

// Layouts are names of layouts, as written; whoever writes files knows which exist.
type Layouts []string

// Windows are change windows; an empty list, and not none, is any time.
type Windows []Window

// Window is a change window. Line and Column are where it begins.
type Window struct {
	Place `yaml:"-"`

	Cron string `yaml:"cron" need:"yes" is:"cron" like:"0 2 * * 2" doc:"When it opens: minute, hour, day of the month, month, day of the week."`
	For  string `yaml:"for" need:"yes" is:"validity" like:"3h" doc:"How long it is open, 7d at the most."`
	Zone string `yaml:"zone" is:"zone" like:"Europe/Berlin" doc:"The time zone of cron; without it, UTC. Local is the machine's."`

	Window renew.Window `yaml:"-"` // as it was read
}

// Service is one certificate under care. Line and Column are where it begins.
type Service struct {
	Place `yaml:"-"`

	Name       string   `yaml:"name" need:"yes" is:"name" like:"payment" doc:"The service's name."`
	Namespace  string   `yaml:"namespace" is:"name" like:"prod" doc:"Its namespace."`
	Identity   string   `yaml:"identity" of:"istio dapr kuma consul linkerd plain" doc:"The mesh whose names the certificate carries."`
	Datacenter string   `yaml:"datacenter" is:"name" like:"dc1" doc:"Consul's datacenter, with the identity consul."`
	Trust      string   `yaml:"trustDomain" is:"trust domain" like:"cluster.local" doc:"Its trust domain, where it is another than the manifest's."`
	SPIFFEID   string   `yaml:"spiffeId" is:"SPIFFE ID" like:"spiffe://cluster.local/ns/prod/sa/payment" doc:"The SPIFFE ID, where it is another than the default."`
	DNS        []string `yaml:"dns" is:"DNS name" like:"payment.example.com" doc:"DNS names beside the default ones."`
	IP         []string `yaml:"ip" is:"IP address" like:"10.0.0.5" doc:"IP addresses."`
	Email      []string `yaml:"email" is:"email address" like:"payment@example.com" doc:"Email addresses."`
	URI        []string `yaml:"uri" is:"URI" like:"kuma://kuma.io/service/payment" doc:"URIs other than the SPIFFE ID."`
	ShortNames bool     `yaml:"shortNames" doc:"Whether the bare name is a DNS name too, in whatever namespace."`
	NoDNS      bool     `yaml:"noDefaultDns" doc:"Whether there are no DNS names but those of dns."`
	Profile    string   `yaml:"profile" is:"profile" like:"workload" doc:"What the certificate may be used for: workload, server, client, peer, or a name under profiles."`
	Validity   string   `yaml:"validity" is:"validity" like:"30d" doc:"How long the certificate lives."`
	RenewAt    string   `yaml:"renewAt" is:"percent" like:"66%" doc:"When it is due for renewal: the part of its lifetime that has passed."`
	KeyType    string   `yaml:"keyType" of:"ec-p256 ec-p384 ed25519 rsa-2048 rsa-3072 rsa-4096" doc:"The kind of private key."`
	ReuseKey   bool     `yaml:"reuseKey" doc:"Whether a renewal has the same key certified again; without it, a new one is made."`
	CommonName string   `yaml:"commonName" like:"payment" doc:"The subject's common name, where it is not the service's name."`
	Subject    string   `yaml:"subject" is:"subject" like:"CN=payment,O=Example" doc:"The whole subject."`
	NoSubject  bool     `yaml:"noSubject" doc:"Whether the subject stays empty."`
	Backend    string   `yaml:"backend" is:"backend" like:"local" doc:"Who signs."`
	Allow      []string `yaml:"allow" like:"account" doc:"Reserved: who may call it."`
	Outputs    []Output `yaml:"outputs" doc:"Where its files go."`
	Windows    Windows  `yaml:"windows" doc:"When what can wait may be done, such as renewal by the clock; an empty list is any time."`
	Hook       Hook     `yaml:"hook" like:"[/usr/bin/systemctl, try-reload-or-restart, payment.service]" doc:"What to do once the files are new: the words of one command, or a list of steps."`

	// Of a Certificate: its issuer, the files of its Secret where they are others than
	// those of the defaults, what its keystores' password is called, and what is written
	// on the Secret.
	Issuer              *IssuerRef        `yaml:"-"`
	Layouts             Layouts           `yaml:"-"`
	Passwords           []string          `yaml:"-"`
	Labels, Annotations map[string]string `yaml:"-"`

	Confirm *Confirm `yaml:"confirm" like:"tls://127.0.0.1:8443" doc:"How to see that the new certificate is served; a URL is short for endpoint."`
}

// Output is a place where a service's files go. Line and Column are where it begins.
type Output struct {
	Place `yaml:"-"`

	To     string  `yaml:"to" need:"yes" like:"/etc/payment/tls" doc:"The place: a directory, file:<directory> or k8s://<namespace>/<secret>."`
	Layout Layouts `yaml:"layout" like:"tls" doc:"The files that are written, one layout or a list of them."`
	Owner  string  `yaml:"owner" is:"owner" like:"payment:payment" doc:"Who owns the files: a user, or user:group."`
	Group  string  `yaml:"group" is:"account" like:"payment" doc:"The group of the files."`
	Mode   string  `yaml:"mode" is:"mode" like:"0640" doc:"The private key's permissions, in octal."`
	Swap   string  `yaml:"swap" of:"directory files" doc:"How files are replaced: all at once behind a link, or plain files one after the other; without it, directory."`

	Labels      map[string]string `yaml:"labels" is:"label key" doc:"Labels of the Secret, where the place is one."`
	Annotations map[string]string `yaml:"annotations" is:"label key" doc:"Annotations of the Secret, where the place is one."`

	KeystorePasswordFile string `yaml:"keystorePasswordFile" like:"/etc/payment/keystore-password" doc:"The file whose first line is the password of the keystores of layout pkcs12 or jks."`
}

// Publication is an object of a cluster in which the roots are. Line and Column are
// where it begins.
type Publication struct {
	Place `yaml:"-"`

	To      string `yaml:"to" need:"yes" is:"publication" like:"configmap:prod/mesh-roots" doc:"The object: configmap:<namespace>/<name> or clustertrustbundle:<name>."`
	Key     string `yaml:"key" is:"object key" like:"ca.crt" doc:"The key of a ConfigMap; without it, ca.crt."`
	Backend string `yaml:"backend" is:"backend" like:"vault:pki/mesh" doc:"Whose roots; without it, those of the manifest's own backend."`
}

// Hook is what to do once a service's files are new: steps, one after the other.
// The manifest may also give the words of one command, which is one exec step.
type Hook []Step

// Step is one step of a hook: exactly one of its fields before Timeout is set.
// Line and Column are where it begins.
type Step struct {
	Place `yaml:"-"`

	Exec      []string   `yaml:"exec" like:"[/usr/sbin/nginx, -s, reload]" doc:"A command, word by word; no shell reads it."`
	Signal    *Signal    `yaml:"signal" doc:"A signal to a process."`
	Systemctl *Systemctl `yaml:"systemctl" doc:"What systemd is to do with a unit."`
	HAProxy   *HAProxy   `yaml:"haproxy" doc:"The new certificate to a running HAProxy."`
	HTTP      *HTTP      `yaml:"http" doc:"A request to a URL."`
	Rollout   *Rollout   `yaml:"rollout" doc:"A restart of a Kubernetes workload."`

	Timeout string   `yaml:"timeout" beside:"yes" is:"validity" like:"30s" doc:"How long one try of the step may take; without it, 30s."`
	Env     []string `yaml:"env" beside:"yes" is:"variable" like:"LANG" doc:"Variables of meshpki's own environment that the program is given besides its own."`
	After   []string `yaml:"after" beside:"yes" like:"/etc/payment/tls" doc:"The places, each as in outputs, that have to be done before; without it, all of them."`
}

// Signal is a step that signals a process.
type Signal struct {
	PIDFile string `yaml:"pidFile" need:"yes" is:"absolute path" like:"/run/nginx.pid" doc:"The file with the process's number, read each time."`
	Signal  string `yaml:"signal" of:"HUP USR1 USR2 WINCH INT QUIT TERM" doc:"The signal's name; without it, HUP."`
	User    string `yaml:"user" is:"account" like:"www-data" doc:"Whose process it has to be."`
}

// Systemctl is a step that has systemd act on a unit.
type Systemctl struct {
	Action string `yaml:"action" of:"try-reload-or-restart reload-or-restart reload try-restart restart" doc:"What to do, as systemctl(1) has it; without it, try-reload-or-restart."`
	Unit   string `yaml:"unit" need:"yes" is:"unit" like:"payment.service" doc:"The unit's name."`
}

// HAProxy is a step that hands the new certificate to a running HAProxy.
type HAProxy struct {
	Socket string `yaml:"socket" need:"yes" like:"/run/haproxy/admin.sock" doc:"Its runtime API: a socket's path, or an address of this machine such as 127.0.0.1:9999."`
	Cert   string `yaml:"cert" need:"yes" like:"/etc/haproxy/payment.pem" doc:"The certificate's name in its configuration."`
}

// HTTP is a step that requests a URL.
type HTTP struct {
	URL     string `yaml:"url" need:"yes" is:"web address" like:"http://127.0.0.1:8080/-/reload" doc:"The URL."`
	Method  string `yaml:"method" of:"POST GET" doc:"The method; without it, POST."`
	Roots   string `yaml:"roots" is:"absolute path" like:"/etc/ssl/mesh.pem" doc:"A PEM file of the roots to trust; without it, the system's."`
	Proxy   bool   `yaml:"proxy" doc:"Whether the proxies of meshpki's environment are used; without it, none is."`
	Timeout string `yaml:"timeout" is:"validity" like:"10s" doc:"How long one try may take: the same as the step's own timeout."`
}

// Rollout is a step that restarts a Kubernetes workload.
type Rollout struct {
	Kind      string `yaml:"kind" need:"yes" of:"Deployment StatefulSet DaemonSet" doc:"What kind of workload it is."`
	Namespace string `yaml:"namespace" is:"label" like:"prod" doc:"Its namespace; without it, the service's."`
	Name      string `yaml:"name" need:"yes" is:"domain" like:"payment" doc:"Its name."`
}

// Confirm says how to see that the new certificate is served.
type Confirm struct {
	Place `yaml:"-"`

	Endpoint   string `yaml:"endpoint" need:"yes" is:"endpoint" like:"tls://127.0.0.1:8443" doc:"Where to look: host:port, or a URL such as tls://host:port."`
	ServerName string `yaml:"serverName" is:"server name" like:"payment.prod" doc:"The name to ask for; without it, the first DNS name."`
	Answers    int    `yaml:"answers" like:"3" doc:"How many handshakes in a row have to show it; without it, 1."`
	Within     string `yaml:"within" is:"validity" like:"10m" doc:"After how long without it to raise the alarm; without it, 10m."`
}

// NamespaceOf is the namespace that a service lives in: its own, else that of
// the defaults, else "default".
func (m *Manifest) NamespaceOf(s *Service) string {
	switch {
	case s.Namespace != "":
		return s.Namespace
	case m.Defaults.Namespace != "":
		return m.Defaults.Namespace
	}
	return "default"
}

// KeystoreOf is the file with the password of an output's keystores: its own, else
// that of the defaults; one that is relative is beside the manifest.
func (m *Manifest) KeystoreOf(o *Output) string {
	name := m.Defaults.KeystorePasswordFile
	if o != nil && o.KeystorePasswordFile != "" {
		name = o.KeystorePasswordFile
	}
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(m.File), name)
}

// LayoutsOf are the layouts of an output: its own, else those of the defaults,
// else tls.
func (m *Manifest) LayoutsOf(o *Output) Layouts {
	switch {
	case len(o.Layout) > 0:
		return o.Layout
	case len(m.Defaults.Layout) > 0:
		return m.Defaults.Layout
	}
	return Layouts{"tls"}
}

// WindowsOf are the change windows of a service: its own, else those of the
// defaults. None is any time.
func (m *Manifest) WindowsOf(s *Service) []renew.Window {
	windows := s.Windows
	if windows == nil {
		windows = m.Defaults.Windows
	}
	var out []renew.Window
	for _, w := range windows {
		out = append(out, w.Window)
	}
	return out
}

// Wrong is an error of a caller that found something to be wrong with what the
// manifest says at that place.
func (m *Manifest) Wrong(at Place, field, problem string) *Error {
	return &Error{File: m.File, Line: at.Line, Column: at.Column, Field: field, Problem: problem}
}
