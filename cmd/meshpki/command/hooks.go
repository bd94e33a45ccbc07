package command

import (
	"context"
	"fmt"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/renew"
)

// serving gives a target the steps and the confirmation of service i of the manifest.
func serving(t *renew.Target, m *config.Manifest, i int, restart restarter) error {
	s := &m.Services[i]
	steps, err := stepsOf(m, s, restart)
	if err != nil {
		return err
	}
	// The target's places stand in the order of the service's outputs.
	for _, step := range steps {
		for k, place := range step.Places {
			if at, ok := s.OutputAt(place); ok && at < len(t.Places) {
				step.Places[k] = t.Places[at].Store.String()
			}
		}
	}
	t.Steps = steps
	t.Confirm, err = confirmOf(m, s)
	return err
}

// restarter is what a step of kind rollout is done by.
type restarter = func(ctx context.Context, r renew.Rollout, service, mark string) error

// restart has the pods of a workload replaced.
func (c *call) restart(ctx context.Context, r renew.Rollout, service, mark string) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	return p.Restart(ctx, backends.Workload{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}, service, mark)
}

// stepsOf turns the hook of one of a manifest's services into steps. What no try
// could do right is an error here, with its place, before anything is done.
func stepsOf(m *config.Manifest, s *config.Service, restart restarter) ([]renew.Step, error) {
	steps := make([]renew.Step, 0, len(s.Hook))
	for i := range s.Hook {
		written := &s.Hook[i]
		step, err := stepOf(m, s, written, restart)
		if err == nil {
			err = step.Validate()
		}
		if err != nil {
			return nil, m.Wrong(written.Place, fmt.Sprintf("%s.hook[%d]", fieldOf(m, s), i), err.Error())
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// fieldOf is how a manifest's errors call one of its services.
func fieldOf(m *config.Manifest, s *config.Service) string {
	for i := range m.Services {
		if &m.Services[i] == s {
			return fmt.Sprintf("services[%d]", i)
		}
	}
	return "services"
}

func stepOf(m *config.Manifest, s *config.Service, written *config.Step, restart restarter) (renew.Step, error) {
	step := renew.Step{Exec: written.Exec, Env: written.Env}
	limit := written.Timeout
	switch {
	case written.Signal != nil:
		step.Signal = &renew.Signal{PIDFile: written.Signal.PIDFile, Signal: written.Signal.Signal, User: written.Signal.User}
	case written.Systemctl != nil:
		step.Systemctl = &renew.Systemctl{Action: orElse(written.Systemctl.Action, "try-reload-or-restart"), Unit: written.Systemctl.Unit}
	case written.HAProxy != nil:
		step.HAProxy = &renew.HAProxy{Socket: written.HAProxy.Socket, Cert: written.HAProxy.Cert}
	case written.HTTP != nil:
		h := written.HTTP
		step.HTTP = &renew.HTTP{URL: h.URL, Method: h.Method, Roots: h.Roots, Proxy: h.Proxy}
		limit = orElse(limit, h.Timeout)
	case written.Rollout != nil:
		r := written.Rollout
		step.Rollout = &renew.Rollout{Kind: r.Kind, Namespace: orElse(r.Namespace, m.NamespaceOf(s)), Name: r.Name, Restart: restart}
	}
	// Places are named as the service's outputs have them, however they are spelt here.
	for _, place := range written.After {
		at, ok := s.OutputAt(place)
		if !ok {
			return step, fmt.Errorf("%q is none of the places under outputs", place)
		}
		step.Places = append(step.Places, s.Outputs[at].To)
	}
	var err error
	if limit != "" {
		step.Timeout, err = config.ParseDuration(limit)
	}
	return step, err
}

// confirmOf turns what a service says of seeing its certificate served into a
// confirmation, nil where it says nothing. Without a name in it the endpoint is
// asked for the leaf's first DNS name.
func confirmOf(m *config.Manifest, s *config.Service) (*renew.Confirm, error) {
	written := s.Confirm
	if written == nil {
		return nil, nil
	}
	c := &renew.Confirm{Endpoint: written.Endpoint, ServerName: written.ServerName, Answers: written.Answers, Within: renew.DefaultWithin, Settle: renew.DefaultSettle}
	err := c.Validate()
	if err == nil && written.Within != "" {
		c.Within, err = config.ParseDuration(written.Within)
	}
	if err != nil {
		return nil, m.Wrong(written.Place, fieldOf(m, s)+".confirm", err.Error())
	}
	return c, nil
}
