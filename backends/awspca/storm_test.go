package awspca

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/awspca/localaws"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
)

// storm has n orders placed at once in a bubble of its own time, by as many askers as
// there are lanes, and gives how long that took.
type storm struct {
	t         *testing.T
	server    *localaws.Server
	authority *Authority
	requests  []ca.Request
	failed    atomic.Int32
	done      atomic.Int32
}

// bubble makes everything that a storm needs, its authority known already.
func bubble(t *testing.T, n int, rules localaws.Rules, rate float64) *storm {
	t.Helper()
	return bubbleOf(t, orders(t, n), rules, rate)
}

// bubbleOf is bubble for orders that are there.
func bubbleOf(t *testing.T, orders []ca.Request, rules localaws.Rules, rate float64) *storm {
	t.Helper()
	server := &localaws.Server{Now: time.Now}
	a := authority(t, hierarchy(t, server, localaws.Spec{}), backends.AWSPCA{Rate: rate}, time.Now)
	a.transport, a.looks = direct{server}, looks{firstLook, soonestLook}
	s := &storm{t: t, server: server, authority: a, requests: slices.Clone(orders)}
	for i := range s.requests {
		s.requests[i].Validity.NotAfter = time.Now().AddDate(0, 0, 30)
	}
	server.Configure(func(r *localaws.Rules) { *r = rules })
	return s
}

// orders are for as many services, with one key.
func orders(t *testing.T, n int) []ca.Request {
	t.Helper()
	key := newKey(t, ca.ECP256)
	all := make([]ca.Request, n)
	for i := range all {
		all[i] = request(t, key, fmt.Sprintf("service-%04d", i))
	}
	return all
}

// rage has all orders placed.
func (s *storm) rage(lanes int) (took time.Duration) {
	s.t.Helper()
	began := time.Now()
	turns := make(chan ca.Request)
	ended := make(chan struct{})
	for range lanes {
		guard.Go(func(any) { s.failed.Add(1) }, func() {
			defer func() { ended <- struct{}{} }()
			for req := range turns {
				if _, err := insist(context.Background(), s.authority, req); err != nil {
					s.failed.Add(1)
					s.t.Errorf("an order failed: %v", err)
				}
				s.done.Add(1)
			}
		})
	}
	for _, req := range s.requests {
		turns <- req
	}
	close(turns)
	for range lanes {
		<-ended
	}
	return time.Since(began)
}

// certified checks that every order has one certificate, and none two.
func (s *storm) certified() {
	s.t.Helper()
	names := map[string]int{}
	for _, c := range s.server.Certificates() {
		names[c.Subject.CommonName]++
	}
	if len(names) != len(s.requests) || len(s.server.Certificates()) != len(s.requests) {
		s.t.Errorf("%d certificates for %d names, and %d were ordered", len(s.server.Certificates()), len(names), len(s.requests))
	}
}

// Everything throttled for an hour with 1,000 due: at most 120 requests, and when it
// is over, a certificate for each.
func TestThrottledForAnHour(t *testing.T) {
	environment(t, "http://aws.example")
	due := orders(t, 1000)
	for name, lanes := range map[string]int{"by sixteen": 16, "all at once": len(due)} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, known %t", name, known), func(t *testing.T) {
				n := len(due)
				if known == (lanes == n) { // two of the four, for what they cost; the others with fewer
					n /= 10
				}
				synctest.Test(t, func(t *testing.T) {
					s := bubbleOf(t, due[:n], localaws.Rules{}, usualIssue)
					if known {
						if _, err := s.authority.Roots(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					before, began := len(s.server.Calls("")), time.Now()
					s.server.Configure(func(r *localaws.Rules) {
						r.Fault = func(string, int) *localaws.Fault {
							if time.Since(began) < time.Hour {
								return localaws.Throttled()
							}
							return nil
						}
					})
					took := s.rage(min(lanes, n))
					asked := 0
					for _, c := range s.server.Calls("")[before:] {
						if c.At.Sub(began) < time.Hour {
							asked++
						}
					}
					if asked > 120 || asked < 30 {
						t.Errorf("%d requests in the hour in which all were throttled", asked)
					}
					t.Logf("%d requests in that hour; all were certified after %s", asked, took)
					if took > 4*time.Hour {
						t.Errorf("it took %s", took)
					}
					s.certified()
				})
			})
		}
	}
}

// Nine requests in ten throttled: at most twelve for each of N orders, and exactly N
// certificates.
func TestNineInTenThrottled(t *testing.T) {
	environment(t, "http://aws.example")
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		s := bubble(t, n, localaws.Rules{InProgress: 1, Fault: func(_ string, call int) *localaws.Fault {
			if call%10 != 0 {
				return localaws.Throttled()
			}
			return nil
		}}, usualIssue)
		took := s.rage(16)
		calls := s.server.Calls("IssueCertificate")
		if len(calls) > 12*n {
			t.Errorf("%d requests for %d orders", len(calls), n)
		}
		t.Logf("%d requests for %d orders, in %s", len(calls), n, took)
		s.certified()
	})
}

// With a quota, the rate is the quota and never above it, and nothing is throttled.
func TestQuota(t *testing.T) {
	environment(t, "http://aws.example")
	for _, quota := range []float64{5, 25, 100} {
		t.Run(fmt.Sprint(quota), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := int(6 * min(quota, 25))
				s := bubble(t, n, localaws.Rules{Delay: time.Second, Quotas: map[string]float64{"IssueCertificate": quota, "GetCertificate": 3 * quota,
					"DescribeCertificateAuthority": 20, "GetCertificateAuthorityCertificate": 20}}, quota)
				s.rage(min(int(quota)*4, n))
				calls := s.server.Calls("IssueCertificate")
				span := calls[len(calls)-1].At.Sub(calls[0].At).Seconds()
				if rate := float64(len(calls)-1) / span; rate < 0.95*quota || rate > 1.0001*quota {
					t.Errorf("%.2f requests a second, where %g are allowed", rate, quota)
				}
				for i := range calls {
					if j := i + int(quota) + 1; j < len(calls) && calls[j].At.Sub(calls[i].At) < time.Second-time.Millisecond {
						t.Errorf("%g requests and more within %s", quota, calls[j].At.Sub(calls[i].At))
					}
				}
				if all := s.server.Calls(""); throttled(all) > 0 {
					t.Errorf("%d of %d requests were throttled", throttled(all), len(all))
				}
				s.certified()
			})
		})
	}
}

// What is shared with others is found out: below the quota of the account, as many are
// had as are left.
func TestSharedQuota(t *testing.T) {
	environment(t, "http://aws.example")
	synctest.Test(t, func(t *testing.T) {
		const n, left = 300, 10
		s := bubble(t, n, localaws.Rules{Quotas: map[string]float64{"IssueCertificate": left}}, usualIssue)
		took := s.rage(16)
		calls := s.server.Calls("IssueCertificate")
		if rate := n / took.Seconds(); rate < left*0.6 {
			t.Errorf("%.1f certificates a second, where %d would be had", rate, left)
		}
		if len(calls) > 2*n {
			t.Errorf("%d requests for %d certificates", len(calls), n)
		}
		t.Logf("%d requests for %d certificates in %s", len(calls), n, took)
		s.certified()
	})
}
