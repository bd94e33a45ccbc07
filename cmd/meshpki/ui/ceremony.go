package ui

import (
	"time"
)

// Attribute is one thing that a CA certificate says: as its request asks for it,
// and as it is signed.
type Attribute struct {
	Name   string `json:"name"`
	Asked  string `json:"asked"`
	Signed string `json:"signed"`
}

// CAReview is what a signer is shown before a CA certificate is signed.
type CAReview struct {
	Signer      string // its name in the directory
	CommonName  string
	Fingerprint string
	Key         string // the SHA-256 of the key to be certified
	Attributes  []Attribute
}

// Text says what will be signed, and where something else was asked for, that too.
func (d CAReview) Text(p *Page) {
	const column = len("path length")
	p.Say(None, "to be signed by "+Clean(d.CommonName)+" ("+d.Signer+"), sha256\n"+d.Fingerprint)
	p.Blank()
	differ := false
	for _, a := range d.Attributes {
		text := Clean(a.Signed)
		switch a.Asked {
		case NotStated:
			text += " (not in the request)"
		case a.Signed:
			text += " (as asked for)"
		default:
			differ = true
			text += "\nNOT as asked for: " + Clean(a.Asked)
		}
		p.Field(column, a.Name, text)
	}
	p.Field(column, "key sha256", d.Key)
	if differ {
		p.Blank()
		p.Say(Look, "not all of it is as it was asked for. What is signed is what the flags here say; the machine that asked will refuse it where it differs.")
	}
}

// NotStated stands where a request says nothing.
const NotStated = "-"

// CARequested is the answer of ca csr.
type CARequested struct {
	Name           string   `json:"name"`
	Subject        string   `json:"subject"`
	CommonName     string   `json:"-"`
	KeyType        string   `json:"keyType"`
	KeyLabel       string   `json:"-"`
	KeyFingerprint string   `json:"keyFingerprint"`
	Key            KeyPlace `json:"key"`
	Request        string   `json:"request"`
	Transcript     string   `json:"transcript"`
	PEM            string   `json:"pem"`
	Dir            string   `json:"-"`
	SignFlags      string   `json:"-"` // what ca sign has to be given to give what was asked for
}

// Schema names the document.
func (CARequested) Schema() string { return "ca-request" }

// Data is the request and where it is.
func (d CARequested) Data() any { return d }

// Text says what was asked for, and the two steps that follow.
func (d CARequested) Text(p *Page) {
	p.Say(Good, Clean(d.CommonName)+" is asked for, with a new key, "+d.KeyLabel)
	const column = len("transcript")
	p.Field(column, "request", Clean(d.Request))
	p.Field(column, "key", d.Key.String())
	p.Field(column, "key sha256", d.KeyFingerprint)
	p.Field(column, "transcript", Clean(d.Transcript))
	if d.Key.Here && !d.Key.Encrypted {
		p.Blank()
		p.Say(Look, "its key is unencrypted on this disk; MESHPKI_PASSPHRASE_FILE or --passphrase-file encrypts it as it is made.")
	}
	p.Blank()
	p.Para(p.Indent(), "Carry the request to the machine that signs, compare the key's sha256 there, and bring back what it gives:")
	p.Command(p.Indent()+2, "meshpki ca sign "+d.Name+".csr --out "+d.Name+".crt"+d.SignFlags)
	p.Next("meshpki ca import " + d.Name + ".crt --root root.crt" + DirFlag(d.Dir))
}

// CASigned is the answer of ca sign.
type CASigned struct {
	Serial      string      `json:"serial"`
	Fingerprint string      `json:"fingerprint"`
	Subject     string      `json:"subject"`
	CommonName  string      `json:"-"`
	Issuer      string      `json:"issuer"`
	Root        string      `json:"rootFingerprint"`
	NotBefore   time.Time   `json:"notBefore"`
	NotAfter    time.Time   `json:"notAfter"`
	Attributes  []Attribute `json:"attributes"`
	File        string      `json:"file,omitempty"`
	Transcript  string      `json:"transcript"`
	PEM         string      `json:"pem"`
	Now         time.Time   `json:"-"`
}

// Schema names the document.
func (CASigned) Schema() string { return "ca-signed" }

// Data is what was signed and where it is.
func (d CASigned) Data() any { return d }

// Text says what was signed, and what the other machine is to be told.
func (d CASigned) Text(p *Page) {
	p.Say(Good, Clean(d.CommonName)+" is signed by "+Clean(d.Issuer)+", until "+Day(d.NotAfter)+" ("+Span(d.NotAfter.Sub(d.Now))+")")
	const column = len("transcript")
	p.Field(column, "serial", d.Serial)
	p.Field(column, "sha256", d.Fingerprint)
	p.Field(column, "root", d.Root)
	p.Field(column, "file", Clean(d.File))
	p.Field(column, "transcript", Clean(d.Transcript))
	p.Blank()
	p.Para(p.Indent(), "On the machine that asked:")
	p.Command(p.Indent()+2, "meshpki ca import "+shellWord(d.File)+" --root-fingerprint \\")
	p.Command(p.Indent()+6, d.Root)
}

// CAImported is the answer of ca import.
type CAImported struct {
	Authorities []Authority `json:"authorities"`
	Transcript  string      `json:"transcript"`
	Dir         string      `json:"-"`
	Now         time.Time   `json:"-"`
}

// Schema names the document.
func (CAImported) Schema() string { return "ca-import" }

// Data is what was taken in.
func (d CAImported) Data() any { return d }

// Text says what was taken in.
func (d CAImported) Text(p *Page) {
	var rows []Row
	for _, a := range d.Authorities {
		rows = append(rows, a.row(d.Now))
	}
	p.Table(rows)
	p.Blank()
	p.Field(len("transcript"), "transcript", Clean(d.Transcript))
	last := d.Authorities[len(d.Authorities)-1]
	p.Next("meshpki issue --service payment --backend local:" + last.Name + DirFlag(d.Dir))
}
