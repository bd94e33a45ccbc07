package command

import (
	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/backends"
)

// inCluster adds the flags of a way to a Kubernetes cluster, as kubectl calls them.
func inCluster(more ...cli.Flag) []cli.Flag {
	return append(more,
		text("kubeconfig", "for places in a cluster: the way there, a `FILE` (default: as kubectl finds it, or the pod's own)"),
		text("context", "the `CONTEXT` of the kubeconfig (default: its current one)"),
		text("as", "act there as this `USER`"),
		many("as-group", "and as a member of this `GROUP`; may be repeated"),
		text("as-uid", "and with this `UID`"),
	)
}

// remembering adds to them where renewal is to remember what it has begun.
func remembering(more ...cli.Flag) []cli.Flag {
	return append(inCluster(more...),
		text("state", "keep what renewal remembers in this Secret, a `PLACE` such as k8s://meshpki/meshpki-state (default: MESHPKI_STATE, else the directory)"),
	)
}

// cluster is the way that the flags name.
func (c *call) cluster() backends.Cluster {
	if !c.self.takes("kubeconfig") {
		return backends.Cluster{}
	}
	return backends.Cluster{Kubeconfig: c.String("kubeconfig"), Context: c.String("context"), As: c.String("as"),
		AsUID: c.String("as-uid"), AsGroups: c.values("as-group")}
}
