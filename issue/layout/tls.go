package layout

// tls is what a Kubernetes TLS Secret holds, and what most servers take: the
// chain, its key, and the roots beside them.
var tls = split{chain: "tls.crt", secret: "tls.key", roots: "ca.crt"}
