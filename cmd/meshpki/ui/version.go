package ui

import "fmt"

// Version is what a binary is.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	FIPS    bool   `json:"fips"`
}

// Schema names the document.
func (Version) Schema() string { return "version" }

// Data is the version itself.
func (d Version) Data() any { return d }

// Text is one line, and one on FIPS.
func (d Version) Text(p *Page) {
	commit := d.Commit
	if len(commit) > 12 {
		commit = commit[:12]
	}
	p.Line("meshpki %s", d.Version)
	mode := "off"
	if d.FIPS {
		mode = "on"
	}
	p.Line("%s", fmt.Sprintf("commit %s, %s %s/%s, FIPS mode %s", commit, d.Go, d.OS, d.Arch, mode))
}
