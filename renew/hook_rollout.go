package renew

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Rollout is a step that has the pods of a Kubernetes workload replaced.
type Rollout struct {
	Kind            string // one of RolloutKinds
	Namespace, Name string
	// Restart has it done, once for each mark of each service: it is the new certificate's
	// serial number, so that a step that is run again restarts nothing again.
	Restart func(ctx context.Context, r Rollout, service, mark string) error
}

// RolloutKinds are the kinds of workloads whose pods can be replaced.
const RolloutKinds = "Deployment StatefulSet DaemonSet"

func (r *Rollout) validate() error {
	switch {
	case !slices.Contains(strings.Fields(RolloutKinds), r.Kind):
		return fmt.Errorf("%q is no kind of workload that is rolled out: %s are", r.Kind, strings.Join(strings.Fields(RolloutKinds), ", "))
	case r.Namespace == "" || r.Name == "" || strings.ContainsAny(r.Namespace+r.Name, "/?# "):
		return fmt.Errorf("%q in namespace %q is no workload", r.Name, r.Namespace)
	case r.Restart == nil:
		return fmt.Errorf("nothing here can restart a %s", r.Kind)
	}
	return nil
}
