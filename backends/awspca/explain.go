package awspca

import (
	"context"

	"github.com/meshpki/meshpki/issue"
)

// Explain tells which template made a part of a certificate otherwise than it was
// asked for, and what to set instead.
func (a *Authority) Explain(_ context.Context, part string) (cause, remedy string) {
	set := a.settings.Template
	if set == "" {
		return "", ""
	}
	t, _ := templateByName(set)
	switch part {
	case issue.PartUsage, issue.PartEKU:
		if t.usage != 0 {
			return "template " + set + " sets the usages itself", "set template: " + blankLeaf + " for this backend, or leave it out"
		}
		return "template " + set + " takes the usages from the request", "set template: " + blankLeaf + " for this backend, or leave it out"
	case issue.PartURI, issue.PartDNS, issue.PartIP, issue.PartEmail, issue.PartNames, issue.PartSubject:
		if !t.api {
			return "template " + set + " takes the names from the request", "set template: " + blankLeaf + " for this backend, or leave it out"
		}
	}
	return "", ""
}
