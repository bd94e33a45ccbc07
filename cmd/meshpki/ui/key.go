package ui

// KeyChanged is the answer of ca key.
type KeyChanged struct {
	Name       string   `json:"name"`
	From       string   `json:"from,omitempty"` // the file that it was taken from
	Key        KeyPlace `json:"key"`
	Passphrase bool     `json:"passphraseChanged"`
	Dir        string   `json:"-"`
}

// Schema names the document.
func (KeyChanged) Schema() string { return "ca-key" }

// Data is where the key is now.
func (d KeyChanged) Data() any { return d }

// Text says where the key is, and how it is found from now on.
func (d KeyChanged) Text(p *Page) {
	switch {
	case d.Passphrase && d.Key.Encrypted:
		p.Say(Good, "the key of "+d.Name+" has a new passphrase, in "+Clean(d.Key.Path))
	case d.Passphrase:
		p.Say(Look, "the key of "+d.Name+" is unencrypted now, in "+Clean(d.Key.Path))
	case d.Key.URI != "":
		p.Say(Good, "the key of "+d.Name+" is found by "+Clean(d.Key.URI)+" from now on")
	default:
		p.Say(Good, "the key of "+d.Name+" is in "+Clean(d.Key.Path)+" now")
	}
	if d.From != "" {
		p.Para(p.Indent(), "and no more in "+Clean(d.From))
	}
	if d.Passphrase {
		return
	}
	if d.Key.Path != "" && !d.Key.Encrypted {
		p.Blank()
		p.Say(Look, "it is not encrypted, there or in what this disk may still remember: meshpki ca key "+d.Name+" --passphrase --key "+shellWord(d.Key.Path)+DirFlag(d.Dir)+" encrypts it.")
	}
	if d.Key.Path != "" {
		p.Blank()
		p.Para(p.Indent(), "Commands that need it are told with --key "+shellWord(d.Key.Path)+". Keep a copy of it somewhere else.")
	}
}
