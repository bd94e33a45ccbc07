package awspca

import (
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/awspca/localaws"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
)

// quickKeys are those whose making takes little time.
var quickKeys = []ca.KeyType{ca.ECP256, ca.ECP384, ca.RSA2048}

func TestConformance(t *testing.T) {
	for name, spec := range map[string]localaws.Spec{
		"general":          {Life: 200 * 24 * time.Hour},
		"RSA, short-lived": {KeyAlgorithm: "RSA_2048", Mode: localaws.ShortLived},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &localaws.Server{Rules: localaws.Rules{InProgress: 1}})
			a := authority(t, hierarchy(t, s, spec), backends.AWSPCA{Rate: -1}, now)
			longest := start.Add(spec.Life)
			if spec.Mode == localaws.ShortLived {
				longest = start.Add(shortLived)
			}
			backendtest.TestAuthority(t, func(*testing.T) ca.Authority { return a }, backendtest.AuthorityOptions{
				Now: now, KeyTypes: quickKeys, Longest: longest, Idempotent: true, Resumes: true, RevokesNothing: spec.Mode == localaws.ShortLived})
		})
	}
}
