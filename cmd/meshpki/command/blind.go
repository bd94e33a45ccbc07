package command

import (
	"context"
	"strings"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// blindPods says of services by name which pods will never see their Secrets change,
// unless a step of the hook restarts a workload. Where pods may not be listed it is not
// known, and nothing is said.
func (k *care) blindPods(ctx context.Context, targets []*renew.Target) map[string]string {
	var places []string
	of := map[string]string{}
	for _, t := range targets {
		for _, s := range t.Steps {
			if s.Rollout != nil {
				of[t.Name] = "restarted"
			}
		}
		for _, p := range t.Places {
			if at := p.Store.String(); strings.HasPrefix(at, "k8s://") && of[t.Name] == "" {
				places = append(places, at)
			}
		}
	}
	if len(places) == 0 {
		return nil
	}
	platform, err := k.c.platform()
	if err != nil {
		return nil
	}
	found, err := platform.Blind(ctx, places)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, t := range targets {
		for _, p := range t.Places {
			at := p.Store.String()
			if pods := found[at]; len(pods) > 0 && of[t.Name] == "" {
				out[t.Name] = ui.Clean(at) + " never changes for " + ui.List(pods, 3) + ": mount it as a directory, or have the hook restart the workload (rollout)"
			}
		}
	}
	return out
}

// unseen adds to a service that pods will not see its next certificate.
func unseen(s *ui.StatusService, why string) {
	s.Advice = why
	if s.Level != ui.LevelError {
		s.Level = ui.LevelWarning
	}
}
