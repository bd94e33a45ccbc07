package command

import (
	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/backends"
)

// toCluster adds the flags that lead to a Kubernetes cluster, as kubectl calls them.
func toCluster(more ...cli.Flag) []cli.Flag {
	return append(more,
		text("kubeconfig", "for places in a cluster: the way there, a `FILE` (default: as kubectl finds it, or the pod's own)"),
		text("context", "the `CONTEXT` of the kubeconfig (default: its current one)"),
	)
}

// inCluster adds to them whom to act as there.
func inCluster(more ...cli.Flag) []cli.Flag {
	return append(toCluster(more...),
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
	way := backends.Cluster{Kubeconfig: c.String("kubeconfig"), Context: c.String("context")}
	if c.self.takes("as-uid") { // elsewhere --as is a form
		way.As, way.AsUID, way.AsGroups = c.String("as"), c.String("as-uid"), c.values("as-group")
	}
	return way
}
