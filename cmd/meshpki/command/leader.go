package command

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/renew"
)

// leadership is the present term of a daemon that is one of several.
type leadership struct {
	mu   sync.Mutex
	term backends.Term
}

// guard is what guards writes; nil where nobody is elected.
func (l *leadership) guard() backends.Term {
	if l == nil {
		return nil
	}
	return func(least time.Duration) (string, error) {
		l.mu.Lock()
		term := l.term
		l.mu.Unlock()
		if term == nil {
			return "", errors.New("this process does not lead yet")
		}
		return term(least)
	}
}

func (l *leadership) begin(term backends.Term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = term
}

// platform is the cluster that the flags lead to.
func (c *call) platform() (backends.Platform, error) {
	if c.env.Registry.Platform == nil {
		return nil, usagef("this version knows no clusters")
	}
	return c.env.Registry.Platform(c.options())
}

// stateName is the Secret that keeps what renewal remembers, unless another is named.
const stateName = "meshpki-state"

// statePlace is where that is kept in a cluster; "" where it is in the directory.
func (c *call) statePlace() (string, error) {
	if s := c.settled.Load(); s != nil {
		return s.state, s.stateErr
	}
	place := orElse(c.optional("state"), c.env.Getenv("MESHPKI_STATE"))
	switch {
	case place == "" && c.self.takes("leader-elect") && c.Bool("leader-elect"):
		lease, err := c.lease()
		if err != nil {
			return "", err
		}
		namespace, _, _ := strings.Cut(lease, "/")
		return namespace + "/" + stateName, nil
	case place == "":
		return "", nil
	}
	rest, ok := strings.CutPrefix(place, "k8s://")
	if !ok {
		return "", usagef("--state: %q is no Secret: k8s://meshpki/%s would be", place, stateName)
	}
	return rest, nil
}

// lease is the one that the daemons elect their leader by, namespace/name.
func (c *call) lease() (string, error) {
	if name := c.String("lease"); name != "" {
		if namespace, lease, ok := strings.Cut(name, "/"); !ok || namespace == "" || lease == "" || strings.Contains(lease, "/") {
			return "", usagef("--lease: %q is not NAMESPACE/NAME", name)
		}
		return name, nil
	}
	p, err := c.platform()
	if err != nil {
		return "", err
	}
	namespace, err := p.Namespace()
	return namespace + "/meshpki", err
}

// memory is where renewal remembers what it has begun.
func (c *call) memory(dir *file.Directory) renew.Memory {
	place, err := c.statePlace()
	if err == nil && place == "" {
		return dir.Memory()
	}
	var p backends.Platform
	if err == nil {
		p, err = c.platform()
	}
	var m backends.Memory
	if err == nil {
		m, err = p.Memory(place)
	}
	if err != nil {
		return broken{err}
	}
	return m
}

// broken is a memory that cannot be had, and says why when it is asked.
type broken struct{ err error }

func (b broken) Read(context.Context, string) ([]byte, error) { return nil, b.err }
func (b broken) Write(context.Context, string, []byte) error  { return b.err }
func (b broken) Remove(context.Context, string) error         { return b.err }
func (b broken) Names(context.Context) ([]string, error)      { return nil, b.err }

// elect runs the daemon for as long as it leads, and waits for its turn in between.
func (d *daemon) elect(ctx context.Context) error {
	lease, err := d.c.lease()
	if err != nil {
		return err
	}
	p, err := d.c.platform()
	if err != nil {
		return err
	}
	namespace, name, _ := strings.Cut(lease, "/")
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	leading := backends.Leading{Namespace: namespace, Name: name, Identity: host + "_" + rand.Text()[:10], Now: d.c.env.Now, Lost: renew.ErrLost,
		Tell: func(what string) { d.told.note(d.c.env.Now(), what, "k8s://"+lease) }}
	d.told.note(d.c.env.Now(), "waiting for the lease", "k8s://"+lease)
	d.service.ready()
	return p.Lead(ctx, leading, func(ctx context.Context, term backends.Term) error {
		d.c.leads.begin(term)
		d.mu.Lock()
		clear(d.signers)
		d.loop = d.newLoop()
		d.leading = true
		d.mu.Unlock()
		defer func() {
			d.mu.Lock()
			d.leading = false
			d.mu.Unlock()
		}()
		return d.running().Run(ctx)
	})
}

// checkElection refuses what does not go with several daemons, or with pods that take
// their disks with them.
func (k *care) checkElection() error {
	if !k.c.Bool("leader-elect") {
		return nil
	}
	for _, i := range k.listed {
		t, err := k.listedTarget(i)
		if err != nil {
			return err
		}
		if k.c.env.Registry.Local(t.Backend, k.c.options()) {
			return usagef("--leader-elect: %s is signed by a CA of the state directory, which one process alone may have", t.Name).
				withHint("one replica with a volume for the directory needs no lease; several need a backend elsewhere, such as vault:pki/mesh")
		}
	}
	if len(k.listed) == 0 {
		return usagef("--leader-elect goes by a manifest, and there is none, or no service in it").withHint("--config names it")
	}
	return nil
}

// checkLasting refuses to work in a pod whose state would be lost with it.
func (k *care) checkLasting() error {
	c := k.c
	if c.env.Getenv("KUBERNETES_SERVICE_HOST") == "" || !fleeting(k.dir.Path()) {
		return nil
	}
	place, err := c.statePlace()
	if err != nil {
		return err
	}
	for _, i := range k.listed {
		t, err := k.listedTarget(i)
		if err != nil {
			return err
		}
		if c.env.Registry.Local(t.Backend, c.options()) {
			return usagef("the state would be lost with the pod: %s is a volume that goes with it, and the CA that signs %s is in it", k.dir.Path(), t.Name).
				withHint("mount a persistent volume there; or let another backend sign")
		}
		if place != "" {
			continue
		}
		for _, p := range t.Places {
			if to := p.Store.String(); p.To != "" && (strings.Contains(to, "://") || !fleeting(to)) {
				return usagef("the state would be lost with the pod: %s is a volume that goes with it, and %s stays", k.dir.Path(), to).
					withHint("--state k8s://NAMESPACE/%s keeps it in the cluster; or mount a persistent volume at %s", stateName, k.dir.Path())
			}
		}
	}
	return nil
}

// emptyDir is in the path of a volume of that kind, wherever the kubelet has it.
const emptyDir = "/kubernetes.io~empty-dir/"

// fleetingMount tells from /proc/self/mountinfo whether what is at a path goes with its
// pod: the container's own layers, memory, and volumes of kind emptyDir.
func fleetingMount(mountinfo, path string) bool {
	longest, fleeting := -1, false
	for line := range strings.SplitSeq(mountinfo, "\n") {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 1 {
			continue
		}
		root, at := fields[3], strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		within := at == "/" || path == at || strings.HasPrefix(path, strings.TrimSuffix(at, "/")+"/")
		if !within || len(at) < longest { // of two at one place, the later one is seen
			continue
		}
		longest = len(at)
		fleeting = kind[0] == "overlay" || kind[0] == "tmpfs" || kind[0] == "aufs" || strings.Contains(root+"/", emptyDir)
	}
	return fleeting
}
