package command

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// networkKeys are the kinds of key URIs whose keys are elsewhere.
var networkKeys = map[string]bool{"awskms": true, "cloudkms": true, "azurekms": true, "sshagentkms": false}

// keyScheme is the kind of a key URI; what follows may tell more than is to be shown.
func keyScheme(uri string) string {
	scheme, _, _ := strings.Cut(uri, ":")
	return ui.Clean(scheme)
}

// unitNeeds finds what a sandbox has to leave open for what is under care.
type unitNeeds struct {
	k        *care
	u        *renew.Unit
	relative []string // places that are others wherever it is run
}

// take looks at a target.
func (n *unitNeeds) take(res renew.Result) {
	t, u := res.Target, n.u
	if t == nil || t.Record.Service == "" || n.k.dropped(t) {
		return
	}
	if life, err := lifeOf(res); err == nil {
		shortest(u, life.Lifetime)
	}
	if t.Backend != "" && t.Backend != "local" && !strings.HasPrefix(t.Backend, "local:") {
		scheme, _, _ := strings.Cut(t.Backend, ":")
		u.Network = append(u.Network, "the backend "+scheme)
	}
	for _, p := range t.Places {
		n.place(p)
	}
	for _, s := range t.Steps {
		n.step(t.Name, s)
	}
	if t.Confirm != nil {
		n.reaches("the confirmation of "+t.Name, t.Confirm.Endpoint)
	}
}

// place notes where files go, and whether they are given to somebody else.
func (n *unitNeeds) place(p renew.Place) {
	if len(p.Layouts) == 0 {
		return
	}
	path, err := backends.Canonical(p.Store.String())
	if err != nil {
		return
	}
	if strings.Contains(path, "://") {
		n.u.Network = append(n.u.Network, "the place "+path)
		return
	}
	within := n.k.c.within(path)
	if !within && !filepath.IsAbs(strings.TrimPrefix(strings.TrimPrefix(p.Store.String(), "file:"), "//")) {
		n.relative = append(n.relative, p.Store.String())
	}
	if !within && !slices.Contains(n.u.Places, path) {
		n.u.Places = append(n.u.Places, path)
	}
	user := orElse(n.u.User, "root")
	given := p.Owner != "" && p.Owner != user || p.Group != "" && p.Group != user
	if holder := ownerOf(path); holder != "" && holder != user && n.u.User == "" {
		given = true // root without capabilities could not write there
	}
	if given {
		n.u.Owners = append(n.u.Owners, path)
	}
}

// step notes what a step of a hook needs.
func (n *unitNeeds) step(name string, s renew.Step) {
	u := n.u
	switch {
	case s.Systemctl != nil:
		u.Systemd = append(u.Systemd, name)
	case len(s.Exec) > 0 && filepath.Base(s.Exec[0]) == "systemctl":
		u.Systemd = append(u.Systemd, name)
	case len(s.Exec) > 0:
		u.Programs = append(u.Programs, s.Exec[0])
	case s.Signal != nil:
		u.Signals = append(u.Signals, name)
	case s.HTTP != nil && s.HTTP.Proxy:
		u.Network = append(u.Network, "the hook of "+name)
	case s.HTTP != nil:
		n.reaches("the hook of "+name, s.HTTP.URL)
	case s.HAProxy != nil && !strings.HasPrefix(s.HAProxy.Socket, "/"):
		n.reaches("the hook of "+name, s.HAProxy.Socket)
	}
}

// reaches notes who speaks to an address: a URL, or host:port. A name may lead
// anywhere; only an address of the loopback is sure to stay here.
func (n *unitNeeds) reaches(who, address string) {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Hostname()
	} else if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		n.u.Loopback = append(n.u.Loopback, who)
		return
	}
	n.u.Network = append(n.u.Network, who)
}

// settle puts what was found in order, each once.
func (n *unitNeeds) settle() {
	for _, list := range []*[]string{&n.u.Places, &n.u.Owners, &n.u.Signals, &n.u.Programs, &n.u.Network, &n.u.Loopback, &n.u.Systemd, &n.u.Devices} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	for _, path := range n.u.Places {
		if _, err := os.Stat(path); err != nil {
			n.k.c.notice("%s is not there yet, and a unit cannot be started without it: meshpki apply makes it", ui.Clean(path))
		}
	}
}
