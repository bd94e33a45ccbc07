package ui

import (
	"fmt"
	"slices"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// Authority is one CA of the directory.
type Authority struct {
	Name        string    `json:"name"`
	Role        string    `json:"role"` // root or intermediate
	Subject     string    `json:"subject"`
	CommonName  string    `json:"-"`
	Issuer      string    `json:"issuer,omitempty"`
	KeyType     string    `json:"keyType"`
	KeyLabel    string    `json:"-"`
	Serial      string    `json:"serial,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	NotBefore   time.Time `json:"notBefore,omitzero"`
	NotAfter    time.Time `json:"notAfter,omitzero"`
	Remaining   int64     `json:"remainingSeconds"`
	MaxPathLen  *int      `json:"maxPathLen,omitempty"`
	State       string    `json:"state,omitempty"` // valid, ending, expired, revoked, not yet valid, pending
	Request     string    `json:"request,omitempty"`
	EndsAt      time.Time `json:"endsAt,omitzero"`
	EndsWith    string    `json:"endsWith,omitempty"`
	Todo        string    `json:"todo,omitempty"`
	Rotation    string    `json:"rotation,omitempty"` // root-new, root-old, root-retired, retiring, spent, retired
	Successor   string    `json:"successor,omitempty"`
	LastLeaf    time.Time `json:"lastLeaf,omitzero"`
	CrossSigned []Cross   `json:"crossSigned,omitempty"`
	Key         KeyPlace  `json:"key"`
}

// Cross is a further certificate of a CA, which another authority gave it.
type Cross struct {
	By          string    `json:"by"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"`
	NotAfter    time.Time `json:"notAfter"`
}

// KeyPlace says where a CA's key is.
type KeyPlace struct {
	Here      bool   `json:"inDirectory"`
	Path      string `json:"path,omitempty"`
	URI       string `json:"uri,omitempty"`
	Encrypted bool   `json:"encrypted"`
}

func (k KeyPlace) String() string {
	switch {
	case k.URI != "":
		return Clean(k.URI)
	case !k.Here:
		return "not in this directory"
	case k.Encrypted:
		return Clean(k.Path) + ", encrypted"
	}
	return Clean(k.Path) + ", not encrypted"
}

// row is the authority's line in a table.
func (a Authority) row(now time.Time) Row {
	if a.Request != "" {
		return Row{Look, []string{Clean(a.CommonName), a.Role, a.KeyLabel, "asked for, no certificate yet"}}
	}
	sign, until := Good, fmt.Sprintf("until %s (%s)", Day(a.NotAfter), Span(a.NotAfter.Sub(now)))
	switch left := a.NotAfter.Sub(now); {
	case left <= 0:
		sign, until = Bad, fmt.Sprintf("expired %s (%s)", Day(a.NotAfter), Relative(a.NotAfter, now))
	case a.State == "revoked":
		sign, until = Bad, "revoked"
	case a.Rotation == "retired", a.Rotation == "root-retired":
		sign = None
	case left < a.NotAfter.Sub(a.NotBefore)/5, a.State == "ending", a.State == "expired":
		sign = Look
	}
	return Row{sign, []string{Clean(a.CommonName), a.Role, a.KeyLabel, until}}
}

// Authorities is the answer of ca list, and of ca intermediate.
type Authorities struct {
	List  []Authority
	Made  bool   // the list is one that was just made
	Again bool   // the list is one that was certified again
	Dir   string // where it was made
	Now   time.Time
}

// Schema names the document.
func (Authorities) Schema() string { return "authorities" }

// Data is the list.
func (d Authorities) Data() any {
	if d.List == nil {
		return []Authority{}
	}
	return d.List
}

// Text is a table, and where the keys are.
func (d Authorities) Text(p *Page) {
	var rows []Row
	for _, a := range d.List {
		rows = append(rows, a.row(d.Now))
	}
	p.Table(rows)
	p.Blank()
	column := 0
	for _, a := range d.List {
		column = max(column, len(a.Name))
	}
	for _, a := range d.List {
		text := "key: " + a.Key.String()
		if a.Request != "" {
			text += "\nrequest: " + Clean(a.Request)
		}
		p.Field(column, a.Name, text)
	}
	sayRotations(p, d.List, d.Now)
	sayEnds(p, d.List, d.Now)
	if d.Again {
		p.Blank()
		p.Para(p.Indent(), "Services have it in their chains after their next renewal.")
		p.Next("meshpki renew" + DirFlag(d.Dir))
	}
	if d.Made {
		warnUnencrypted(p, d.List, d.Dir)
		p.Next("meshpki issue --service payment --backend local:" + d.List[0].Name + DirFlag(d.Dir))
	}
}

// Initialised is the answer of ca init.
type Initialised struct {
	Dir           string
	TrustDomain   string
	ClusterDomain string
	OfflineRoot   string
	OnePassphrase bool
	Authorities   []Authority
	Now           time.Time
}

// Schema names the document.
func (Initialised) Schema() string { return "init" }

// Data is the directory and what is in it.
func (d Initialised) Data() any {
	return struct {
		Directory     string      `json:"directory"`
		TrustDomain   string      `json:"trustDomain"`
		ClusterDomain string      `json:"clusterDomain"`
		OfflineRoot   string      `json:"offlineRootKey,omitempty"`
		Authorities   []Authority `json:"authorities"`
	}{d.Dir, d.TrustDomain, d.ClusterDomain, d.OfflineRoot, d.Authorities}
}

// Text says what was made, what to look at, and what to do next.
func (d Initialised) Text(p *Page) {
	var rows []Row
	for _, a := range d.Authorities {
		rows = append(rows, a.row(d.Now))
	}
	p.Table(rows)
	p.Para(p.Indent(), fmt.Sprintf("in %s, trust domain %s", Clean(place(d.Dir)), d.TrustDomain))
	warnUnencrypted(p, d.Authorities, d.Dir)
	if d.OfflineRoot != "" {
		p.Blank()
		p.Say(Look, "the root's key is in "+Clean(d.OfflineRoot)+" and nowhere else: keep it where no machine reads it, and a copy of it somewhere else.")
	}
	if d.OnePassphrase {
		p.Blank()
		p.Say(Look, "one passphrase serves both keys. Whoever issues every day can sign as the root too; --root-passphrase-file gives the root its own.")
	}
	p.Next("meshpki issue --service payment" + DirFlag(d.Dir))
}

// DirFlag is the flag that a next command needs to find a state directory again.
func DirFlag(dir string) string {
	if dir == "pki" || dir == "./pki" {
		return ""
	}
	return Flag("dir", dir)
}

// Flag is a flag with its value, to stand at the end of a command to paste.
func Flag(name, value string) string { return " --" + name + " " + shellWord(value) }

// sayEnds says which authorities come to their end, and what to do.
func sayEnds(p *Page, list []Authority, now time.Time) {
	for _, a := range list {
		for _, c := range a.CrossSigned {
			p.Blank()
			p.Para(p.Indent(), fmt.Sprintf("%s is certified by %s too, until %s", a.Name, c.By, Day(c.NotAfter)))
		}
	}
	var todo []string
	for _, a := range list {
		if a.State == "revoked" {
			p.Blank()
			p.Say(Bad, a.Name+" is revoked, or a CA above it is: it signs nothing more, and what it signed is not trusted.")
			if a.Todo != "" && a.Rotation == "" {
				todo = append(todo, a.Todo)
			}
			continue
		}
		if a.State != "ending" && a.State != "expired" || a.Rotation != "" && a.Rotation != "root-new" {
			continue
		}
		with, verb := "", "ends "
		if a.EndsWith != "" {
			with = " with " + Clean(a.EndsWith)
		}
		if a.State == "expired" {
			verb = "ended "
		}
		p.Blank()
		p.Say(Look, fmt.Sprintf("%s %s%s%s, and with it what it signed.", a.Name, verb, Relative(a.EndsAt, now), with))
		if a.Role == "root" {
			p.Para(p.Indent(), "Another root has to be trusted everywhere before then.")
		}
		if a.Todo != "" && !slices.Contains(todo, a.Todo) {
			todo = append(todo, a.Todo)
		}
	}
	for _, cmd := range todo {
		p.Next(cmd)
	}
}

// warnUnencrypted says which keys lie open on this disk.
func warnUnencrypted(p *Page, list []Authority, dir string) {
	var open []string
	for _, a := range list {
		if a.Key.Here && !a.Key.Encrypted {
			open = append(open, a.Name)
		}
	}
	switch {
	case len(open) == 0:
		return
	case len(open) == 1:
		p.Blank()
		p.Say(Look, "the key of "+open[0]+" is unencrypted on this disk; MESHPKI_PASSPHRASE_FILE or --passphrase-file encrypts it as it is made.")
	default:
		p.Blank()
		p.Say(Look, "both keys are unencrypted on this disk. For anything that lasts, take the root's away from it, and encrypt the other's file:\n"+
			"  meshpki ca key "+open[0]+" --move FILE"+DirFlag(dir)+"\n"+
			"  meshpki ca key "+open[1]+" --passphrase"+DirFlag(dir))
	}
}

// AuthorityShown is the answer of ca show.
type AuthorityShown struct {
	Authority Authority
	Report    inspect.Report
	Now       time.Time
}

// Schema names the document.
func (AuthorityShown) Schema() string { return "authority" }

// Data is the authority with its certificate's report.
func (d AuthorityShown) Data() any {
	return struct {
		Authority
		Report inspect.Report `json:"report"`
	}{d.Authority, d.Report}
}

// Text is the report with the key's place behind it.
func (d AuthorityShown) Text(p *Page) {
	Inspection{Reports: []inspect.Report{d.Report}, Now: d.Now}.Text(p)
	p.Blank()
	p.Field(len("key"), "key", d.Authority.Key.String())
	sayRotations(p, []Authority{d.Authority}, d.Now)
	sayEnds(p, []Authority{d.Authority}, d.Now)
}

// Bundle is the trust bundle, for JSON.
type Bundle struct {
	PEM          string
	Fingerprints []string
}

// Schema names the document.
func (Bundle) Schema() string { return "bundle" }

// Data is the PEM text and the fingerprints of what is in it.
func (d Bundle) Data() any {
	return struct {
		PEM          string   `json:"pem"`
		Fingerprints []string `json:"fingerprints"`
	}{d.PEM, d.Fingerprints}
}

// Text is the bundle itself.
func (d Bundle) Text(p *Page) { p.b.WriteString(d.PEM) }

// place shows a relative path as one: "./pki".
func place(path string) string {
	if path == "" || path[0] == '/' || path[0] == '.' {
		return path
	}
	return "./" + path
}

// ShellWord quotes a word for a shell where it needs it.
func ShellWord(s string) string { return shellWord(s) }

// shellWord quotes a word for a shell where it needs it.
func shellWord(s string) string {
	plain := s != ""
	for _, r := range s {
		plain = plain && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '/' || r == '-' || r == '_' || r == ':')
	}
	if plain {
		return s
	}
	out := "'"
	for _, r := range Clean(s) {
		if r == '\'' {
			out += `'\''`
			continue
		}
		out += string(r)
	}
	return out + "'"
}
