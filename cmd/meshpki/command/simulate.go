package command

import (
	"context"
	"errors"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// simulate rehearses a time of renewals.
func (c *call) simulate(ctx context.Context) error {
	s := renew.Simulation{From: c.env.Now()}
	var err error
	for flag, to := range map[string]*time.Duration{"simulate": &s.Span, "every": &s.Every, "outage": &s.Outage} {
		if *to, err = c.duration(flag); err != nil {
			return err
		}
		if *to == 0 && c.IsSet(flag) {
			return usagef("--%s: no time at all; a duration such as 15m or 1y is expected", flag)
		}
	}
	if s.Every > 0 && s.Every < time.Minute {
		return usagef("--every: passes are a minute apart or more")
	}
	if s.Span > 10*365*24*time.Hour || s.Span < time.Minute {
		return usagef("--simulate: from 1m to 10y can be simulated")
	}
	if s.Outage > s.Span {
		return usagef("--outage: it is longer than what is simulated")
	}
	k, err := c.underCare()
	if err != nil {
		return err
	}
	doc := ui.Simulation{Now: s.From}
	if s.Targets, err = k.lives(ctx, &doc); err != nil {
		return err
	}
	forecast, err := s.Run()
	if err != nil {
		return err
	}
	doc.Take(forecast)
	if err := c.say(doc); err != nil {
		return err
	}
	if len(forecast.Lapses) > 0 || len(forecast.Lost) > 0 {
		return errNo
	}
	return nil
}

// lives are the targets under care as a simulation needs them. What cannot be read is
// counted in the document.
func (k *care) lives(ctx context.Context, doc *ui.Simulation) ([]renew.Life, error) {
	var lives []renew.Life
	until := map[string]time.Time{}
	var failed error
	err := k.pass(ctx, k.renewer(), nil, renew.Options{DryRun: true, Each: func(res renew.Result) {
		if res.Target == nil || res.Target.Record.Service == "" {
			doc.Unreadable++
			return
		}
		if k.dropped(res.Target) {
			return
		}
		life, err := lifeOf(res)
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		ref := res.Target.Backend
		if _, asked := until[ref]; !asked {
			// An authority that cannot be asked ends nothing: the clock does.
			out, _ := k.outlook(ctx, ref)
			until[ref] = out.Until
		}
		life.IssuerUntil = until[ref]
		lives = append(lives, life)
	}})
	return lives, errors.Join(err, failed)
}

func lifeOf(res renew.Result) (renew.Life, error) {
	t := res.Target
	life := renew.Life{Name: t.Name, Policy: t.Policy}
	if res.Leaf != nil && res.Decision.Check != "missing" {
		life.NotBefore, life.NotAfter = res.Leaf.NotBefore, res.Decision.Ends
		if life.NotAfter.IsZero() {
			life.NotAfter = res.Leaf.NotAfter
		}
	}
	profile := t.Profile
	if profile.Name() == "" {
		var err error
		if profile, err = ca.ProfileByName(t.Record.Profile); err != nil {
			return life, err
		}
	}
	life.Lifetime = profile.Validity()
	if t.Record.Validity != "" {
		var err error
		if life.Lifetime, err = time.ParseDuration(t.Record.Validity); err != nil {
			return life, err
		}
	}
	return life, nil
}
