package acme

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
)

// Suggest gives settings that would do: the entry of the manifest, what a web server
// needs for a webroot, and what Vault needs. Nobody is asked.
func Suggest(directory string, o backends.Options, wants []backends.Want) ([]backends.Suggestion, error) {
	a, err := open(directory, o)
	if err != nil {
		return nil, err
	}
	wild := slices.ContainsFunc(wants, func(w backends.Want) bool {
		return slices.ContainsFunc(w.Identity.Names(), func(n ca.Name) bool { return n.Type == ca.DNS && strings.HasPrefix(n.Value, "*.") })
	})
	challenge := "      challenge:\n        http: {webroot: /var/www/html}\n"
	if wild {
		challenge += "        dns: {hook: [/usr/local/bin/acme-dns]}\n"
	}
	entry := "backends:\n  public:\n    acme:\n      directory: " + directory + "\n"
	if a.public == "" {
		entry += "      caCert: /etc/meshpki/acme-roots.pem\n      roots: /etc/meshpki/acme-roots.pem\n"
	}
	out := []backends.Suggestion{
		{Form: "meshpki.yaml", Text: entry + challenge},
		{Form: "nginx", Text: "location /.well-known/acme-challenge/ {\n    root /var/www/html;\n    default_type application/octet-stream;\n}\n"},
	}
	if mount := vaultMount(directory); mount != "" {
		out = append(out, backends.Suggestion{Form: "vault", Text: fmt.Sprintf("vault secrets tune -passthrough-request-headers=If-Modified-Since "+
			"-allowed-response-headers=Last-Modified -allowed-response-headers=Location -allowed-response-headers=Replay-Nonce -allowed-response-headers=Link %s\n"+
			"vault write %s/config/cluster path=%s\nvault write %s/config/acme enabled=true allow_role_ext_key_usage=true\n",
			mount, mount, strings.SplitAfter(directory, "/v1/")[0]+mount, mount)})
	}
	return out, nil
}
