package command

// root is the tree of commands. It is made anew for each run: the flag parser
// keeps what it has read in it.
func root() *command {
	tree := &command{
		name:    "meshpki",
		summary: "certificates for mutual TLS between services",
		about: "Makes root and intermediate authorities, issues service certificates with " +
			"SPIFFE identities, inspects and verifies them, and tells when they are due for " +
			"renewal. State is kept in one directory, ./pki unless --dir or MESHPKI_DIR names another.",
		examples: []example{
			{"a root, an intermediate, two services and a call between them", "meshpki demo"},
			{"an authority of your own", "meshpki ca init"},
			{"a certificate for a service", "meshpki issue --service payment"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo, codeRefused, codePartial, codeInterrupted),
		flags: common(),
		sub: []*command{
			caCommand(), issueCommand(), revokeCommand(), crlCommand(), logCommand(),
			inspectCommand(), verifyCommand(), probeCommand(), renewCommand(), planCommand(), applyCommand(), needsRenewalCommand(), statusCommand(), unitsCommand(), backendCommand(),
			demoCommand(), versionCommand(), completionCommand(), manCommand(),
		},
	}
	adopt(tree)
	return tree
}

// adopt tells each command its parent, and gives the groups the common flags.
func adopt(c *command) {
	for _, s := range c.sub {
		s.parent = c
		if len(s.sub) > 0 {
			s.flags = common()
		}
		adopt(s)
	}
}

// exitsOf is EXIT STATUS for the codes that a command can end with.
func exitsOf(codes ...int) []exit {
	means := map[int]string{
		codeDone:        "done, or the answer is yes",
		codeFailed:      "failed: something went wrong; a missing or unreadable file is always this",
		codeUsage:       "usage or configuration is wrong; nothing was attempted",
		codeNo:          "answered, and the answer is no",
		codeRefused:     "refused by an authority or a place: policy, permission, a name constraint",
		codePartial:     "partial: some target failed, or does not serve its new certificate yet; each is named",
		codeInterrupted: "interrupted",
	}
	var out []exit
	for _, code := range codes {
		out = append(out, exit{code, means[code]})
	}
	return out
}
