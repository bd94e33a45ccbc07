package layout

import (
	"fmt"

	"github.com/meshpki/meshpki/issue"
)

const nginxVerify = "verify.conf"

// nginx is the set under the names that nginx's users know, and beside it what has to
// be said so that a client with an intermediate above its certificate gets in:
// ssl_verify_depth is 1 where it is not given (ngx_http_ssl_module).
var nginx = split{chain: "fullchain.pem", secret: "privkey.pem", roots: "ca.pem", consumer: "nginx", refuses: serverOnly, more: verifyConf}

// verifyConf is what nginx includes: it names no path, for the layout knows none.
func verifyConf(c *issue.Credential) map[string]string {
	return map[string]string{nginxVerify: "# To be included where ssl_client_certificate names ca.pem.\n" +
		"ssl_verify_client on;\n" + fmt.Sprintf("ssl_verify_depth %d;\n", max(2, len(c.Chain)))}
}

// serverOnly refuses a certificate that a TLS server cannot show.
func serverOnly(p Plan) []Refusal {
	if p.Server {
		return nil
	}
	return []Refusal{{"the certificate is for clients alone, and a server shows it", "RFC 5280, Section 4.2.1.12"}}
}
