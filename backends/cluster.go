package backends

import (
	"context"
	"time"
)

// Cluster is the way to a Kubernetes cluster, as kubectl's flags have it. The zero
// value is what kubectl finds by itself, or the pod's own ServiceAccount.
type Cluster struct {
	Kubeconfig string   // a file
	Context    string   // one of its contexts
	As, AsUID  string   // whom to act as
	AsGroups   []string // and as a member of which groups
}

// Term says in which term of leadership writes may be made, where one of several
// does the work: it is another whenever leadership has been taken up anew. least is
// how long the write may take; with less than that left there is none, which is an
// error. What was read in one term is not written by in another.
type Term func(least time.Duration) (string, error)

// Platform is what a cluster can do besides keeping sets: see Registry. Safe for
// concurrent use.
type Platform interface {
	// Namespace is the one that the way to the cluster names, or the pod's own; "default"
	// where neither says.
	Namespace() (string, error)
	// Memory keeps named bytes in one object, namespace/name.
	Memory(place string) (Memory, error)
	// Restart has a workload's pods replaced, once for each mark.
	Restart(ctx context.Context, w Workload, by, mark string) error
	// Blind names the pods that do not see it when a place, k8s://namespace/name, changes.
	Blind(ctx context.Context, places []string) (map[string][]string, error)
	// Lead has work done while it leads, again and again until ctx ends or work ends by
	// itself.
	Lead(ctx context.Context, l Leading, work func(ctx context.Context, term Term) error) error
	// Publish keeps a text where every pod can mount it, and tells whether that changed it.
	Publish(ctx context.Context, p Publication) (changed bool, err error)
}

// Workload is what runs pods. Kind is Deployment, StatefulSet or DaemonSet.
type Workload struct{ Kind, Namespace, Name string }

// Memory is where a renewer keeps what it must know after a crash: named bytes.
type Memory interface {
	Read(ctx context.Context, name string) ([]byte, error)
	Write(ctx context.Context, name string, data []byte) error
	Remove(ctx context.Context, name string) error
	Names(ctx context.Context) ([]string, error)
}

// Leading is how leadership is taken up and held.
type Leading struct {
	Namespace, Name string // of the lease
	Identity        string // who we are; another for each process
	Now             func() time.Time
	// Lost is the cause of the context of work that ends because the lease was lost.
	Lost error
	// Tell, if not nil, is told what happens.
	Tell func(what string)
	// Life is how long a lease holds unless it is renewed; zero is 15 s. It is given up
	// after two thirds of that without a renewal, and renewed five times as often.
	Life time.Duration
}

// Publication is a text that is to be where pods can mount it.
type Publication struct {
	// Kind is ConfigMap or ClusterTrustBundle; Signer is the latter's, and may be empty.
	Kind, Namespace, Name, Signer string
	// Key is the ConfigMap's.
	Key, Text string
	// Force takes over what another manager has; DryRun changes nothing, and only tells
	// whether it would.
	Force, DryRun bool
}
