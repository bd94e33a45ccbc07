package layout

// postgresServer is what a PostgreSQL server looks for in its data directory, but for
// the name of the roots, which ssl_ca_file gives; postgresClient is what libpq looks
// for in ~/.postgresql.
var (
	postgresServer = split{chain: "server.crt", secret: "server.key", roots: "root.crt", consumer: "PostgreSQL", refuses: serverOnly}
	postgresClient = split{chain: "postgresql.crt", secret: "postgresql.key", roots: "root.crt", consumer: "PostgreSQL", refuses: postgresLogin}
)

// postgresLogin refuses what the login method cert cannot make a user of.
func postgresLogin(p Plan) []Refusal {
	var found []Refusal
	if p.CommonName == "" {
		found = append(found, Refusal{"the subject has no common name, which the login method cert takes for the user", "PostgreSQL, Certificate Authentication"})
	}
	if !p.Client {
		found = append(found, Refusal{"the certificate is for servers alone, and a client shows it", "RFC 5280, Section 4.2.1.12"})
	}
	return found
}
