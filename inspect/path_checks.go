package inspect

// Check is one rule that a path was held to, for those who want to follow how an
// answer came about.
type Check struct {
	Certificate string `json:"certificate,omitempty"` // the one it was about; none for the path as a whole
	Rule        string `json:"rule"`
	Title       string `json:"title"` // what holds where the rule is kept
	Citation    string `json:"citation"`
	Holds       bool   `json:"holds"`
}

// checks lists what a path was held to, from the root down and then as a whole.
// findings are what was found wrong with it.
func (p *path) checks(findings []Finding) []Check {
	broken := map[[2]string]bool{}
	ids := map[string]bool{}
	for _, f := range findings {
		broken[[2]string{f.Certificate, f.Rule}] = true
		ids[f.Rule] = true
	}
	var list []Check
	add := func(name string, r Rule, fails bool) {
		list = append(list, Check{Certificate: name, Rule: r.ID, Title: r.Title, Citation: r.Citation, Holds: !fails})
	}
	for i := len(p.chain) - 1; i >= 0; i-- {
		c, at := p.chain[i], p.placeOf(i)
		name := c.name()
		if i+1 < len(p.chain) {
			fails := false
			for _, r := range []Rule{ruleSignature, ruleWeakSignature, ruleSignatureKind} {
				fails = fails || broken[[2]string{name, r.ID}]
			}
			add(name, ruleSignature, fails)
		}
		for _, r := range [][]Rule{{ruleLeafNotYet, ruleIntermediateNotYet, ruleRootNotYet}, {ruleLeafExpired, ruleIntermediateExpired, ruleRootExpired}} {
			add(name, r[at], broken[[2]string{name, r[at].ID}])
		}
		own := []Rule{ruleExtension, ruleCriticalUnknown}
		if i > 0 {
			own = append(own, ruleIssuerNotCA, ruleIssuerUsage, rulePathLength)
		}
		for _, r := range own {
			add(name, r, broken[[2]string{name, r.ID}])
		}
	}
	if p.rooted {
		for _, r := range p.asked() {
			add("", r, ids[r.ID])
		}
	}
	return list
}

// asked are the rules on the path as a whole that the options bring with them.
func (p *path) asked() []Rule {
	list := []Rule{ruleNameConstraint, rulePolicy}
	if p.o.LimitDepth {
		list = append(list, ruleDepth)
	}
	if p.o.EKU != "" && p.o.EKU != EKUAny {
		list = append(list, ruleUsage)
	}
	if len(p.o.CRLs) > 0 {
		list = append(list, ruleCRLMissing)
	}
	if p.o.OCSP != nil {
		list = append(list, ruleOCSPOther, ruleOCSPSignature, ruleOCSPTime)
	}
	if len(p.o.CRLs) > 0 || p.o.OCSP != nil || p.o.Revoked != nil {
		list = append(list, ruleRevoked)
	}
	return append(list, ruleOpinion)
}
