package layout

// pem is the same set under the names that many a configuration file expects.
var pem = split{chain: "cert.pem", secret: "key.pem", roots: "ca.pem"}
