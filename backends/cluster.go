package backends

import "time"

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
