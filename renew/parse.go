package renew

import (
	"crypto/x509"
	"sync"

	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// mostParsed bounds what a parser remembers: whoever may write a place could show it
// another CA each time.
const mostParsed = 1000

// parser parses certificates, those of CAs once each: under care are many leaves of
// few CAs. Safe for concurrent use.
type parser struct {
	mu  sync.RWMutex
	cas map[string]*x509.Certificate // by their DER
}

func newParser() *parser { return &parser{cas: map[string]*x509.Certificate{}} }

func (p *parser) parse(der []byte) (*x509.Certificate, error) {
	p.mu.RLock()
	c, ok := p.cas[string(der)]
	p.mu.RUnlock()
	if ok {
		return c, nil
	}
	c, err := x509.ParseCertificate(der)
	if err != nil || !c.IsCA {
		return c, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.cas) < mostParsed {
		p.cas[string(der)] = c
	}
	return c, nil
}

// chain finds the chain in the files of a set: by the layouts that are wanted, else
// by any, for the order may have changed; nil where there is none.
func (p *parser) chain(named []layout.Named, files issue.Files) []*x509.Certificate {
	if chain := p.first(named, files); chain != nil {
		return chain
	}
	return p.first(layout.All(), files)
}

func (p *parser) first(named []layout.Named, files issue.Files) []*x509.Certificate {
	for _, l := range named {
		if chain, err := l.DecodeBy(files, p.parse); err == nil && len(chain) > 0 {
			return chain
		}
	}
	return nil
}

// decode is parser.chain where few are read.
func decode(named []layout.Named, files issue.Files) []*x509.Certificate {
	return newParser().chain(named, files)
}
