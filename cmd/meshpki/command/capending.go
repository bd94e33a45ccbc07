package command

import (
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

// pendingAuthorities are the CAs that were asked for and have not come.
func pendingAuthorities(d *file.Directory) ([]ui.Authority, error) {
	all, err := d.Pending()
	if err != nil {
		return nil, err
	}
	var out []ui.Authority
	for _, p := range all {
		path, uri, err := d.KeyPlace(p.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, ui.Authority{
			Name: p.Name, Role: "intermediate", Subject: p.CSR.Subject.String(), CommonName: p.CSR.Subject.CommonName,
			KeyType: string(ca.KeyTypeOf(p.CSR.PublicKey)), KeyLabel: ca.KeyTypeOf(p.CSR.PublicKey).String(), State: "pending",
			Request: d.RequestPath(p.Name), Key: ui.KeyPlace{Path: path, URI: uri, Encrypted: file.IsEncrypted(path), Here: path != ""},
		})
	}
	return out, nil
}
