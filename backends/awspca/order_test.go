package awspca

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/awspca/localaws"
	"github.com/meshpki/meshpki/ca"
)

// Killed at every step of an order and resumed, within the life of its token: one
// certificate each time, and after it another order is wanted where nothing was heard.
func TestKilledAndResumed(t *testing.T) {
	environment(t, "http://aws.example")
	died := errors.New("killed")
	for _, c := range []struct {
		name   string
		at     int // which time that Pending is called it dies; 0: the answer is lost
		before bool
		away   time.Duration
		lost   bool
		certs  int
	}{
		{"before it is asked", 1, true, time.Minute, false, 1},
		{"before it is asked, and long away", 1, true, time.Hour, true, 0},
		{"asked, and the answer not heard", 0, false, time.Minute, false, 1},
		{"asked, and the answer not heard, and long away", 0, false, time.Hour, true, 1},
		{"named, and the name not kept", 2, true, time.Minute, false, 1},
		{"named, and the name not kept, and long away", 2, true, time.Hour, true, 1},
		{"named, and the name kept", 2, false, time.Minute, false, 1},
		{"named, and the name kept, and long away", 2, false, 48 * time.Hour, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := bubble(t, 1, localaws.Rules{InProgress: 1}, usualIssue)
				req := s.requests[0]
				calls := 0
				req.Pending = func(resume []byte) error {
					calls++
					if calls == c.at && c.before && c.at == 2 {
						return died
					}
					req.Resume = slices.Clone(resume)
					if calls == c.at {
						return died
					}
					return nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				if c.at == 0 {
					s.server.Configure(func(r *localaws.Rules) {
						r.After = func(operation string, _ int) *localaws.Fault {
							if operation != "IssueCertificate" {
								return nil
							}
							cancel()
							return &localaws.Fault{Status: 500, Code: "InternalFailure"}
						}
					})
				}
				if _, err := s.authority.Issue(ctx, req); err == nil {
					t.Fatal("it was not killed")
				}
				cancel()
				s.server.Configure(func(r *localaws.Rules) { *r = localaws.Rules{InProgress: 1} })
				time.Sleep(c.away)
				req.Pending = func([]byte) error { return nil }
				chain, err := authorityAgain(s).Issue(t.Context(), req)
				if errors.Is(err, ca.ErrLost) != c.lost || !c.lost && err != nil {
					t.Errorf("resumed: error %v", err)
				}
				if made := s.server.Certificates(); len(made) != c.certs || !c.lost && !made[0].Equal(chain.Leaf()) {
					t.Errorf("%d certificates", len(made))
				}
			})
		})
	}
}

// authorityAgain is the authority as another process has it.
func authorityAgain(s *storm) *Authority {
	a := &Authority{arn: s.authority.arn, settings: s.authority.settings, now: s.authority.now, transport: s.authority.transport, asking: make(chan struct{}, 1)}
	return a
}

// An answer that is lost or a failure does not make a second certificate, and what
// stays away is said to be so.
func TestFailures(t *testing.T) {
	environment(t, "http://aws.example")
	failure := &localaws.Fault{Status: 503, Code: "ServiceUnavailable", Message: "try later"}
	for _, c := range []struct {
		name  string
		rules localaws.Rules
		away  bool
		certs int
	}{
		{"the first answer is lost", localaws.Rules{After: only("IssueCertificate", 1, failure)}, false, 1},
		{"two answers are lost", localaws.Rules{After: only("IssueCertificate", 2, failure)}, false, 1},
		{"every answer is lost", localaws.Rules{After: only("IssueCertificate", 99, failure)}, true, 1},
		{"it fails twice", localaws.Rules{Fault: only("IssueCertificate", 2, failure)}, false, 1},
		{"it fails", localaws.Rules{Fault: only("IssueCertificate", 99, failure)}, true, 0},
		{"it cannot be described", localaws.Rules{Fault: only("DescribeCertificateAuthority", 99, failure)}, true, 0},
		{"it is fetched at the third time", localaws.Rules{Fault: only("GetCertificate", 2, failure)}, false, 1},
		{"it is never ready", localaws.Rules{InProgress: 1 << 30}, true, 1},
		{"its name is not known at first", localaws.Rules{Fault: only("GetCertificate", 3, &localaws.Fault{Code: "ResourceNotFoundException"})}, false, 1},
		{"it is slow", localaws.Rules{Delay: 2 * time.Minute}, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := bubble(t, 1, c.rules, usualIssue)
				kept := []byte("nothing")
				s.requests[0].Pending = func(resume []byte) error { kept = resume; return nil }
				_, err := s.authority.Issue(t.Context(), s.requests[0])
				if errors.Is(err, ca.ErrAway) != c.away || !c.away && err != nil {
					t.Errorf("error %v", err)
				}
				if made := len(s.server.Certificates()); made != c.certs {
					t.Errorf("%d certificates", made)
				}
				if n := len(s.server.Calls("IssueCertificate")); n > tries {
					t.Errorf("it was asked for %d times", n)
				}
				if c.away && c.certs == 1 && len(kept) == 0 {
					t.Error("that it was asked for is forgotten")
				}
			})
		})
	}
}

// only is a fault of the first n requests for an operation.
func only(operation string, n int, f *localaws.Fault) func(string, int) *localaws.Fault {
	return func(op string, i int) *localaws.Fault {
		if op == operation && i <= n {
			return f
		}
		return nil
	}
}

// What will never do is a refusal, in words, and is asked for once at the most.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, s *localaws.Server, arn string, req *ca.Request)
		says   []string
		asked  int
	}{
		{"Ed25519", func(t *testing.T, _ *localaws.Server, _ string, req *ca.Request) {
			*req = requestFor(t, newKey(t, ca.Ed25519), req.Identity)
		}, []string{"Ed25519", "EC and RSA keys alone"}, 0},
		{"disabled", func(t *testing.T, s *localaws.Server, arn string, _ *ca.Request) {
			put(t, s, arn, localaws.Disabled)
		}, []string{"DISABLED", "--status ACTIVE"}, 0},
		{"deleted", func(t *testing.T, s *localaws.Server, arn string, _ *ca.Request) {
			put(t, s, arn, localaws.Deleted)
		}, []string{"DELETED"}, 0},
		{"no right to ask", func(_ *testing.T, s *localaws.Server, _ string, _ *ca.Request) {
			s.Configure(func(r *localaws.Rules) { r.Denied = []string{"IssueCertificate"} })
		}, []string{"not authorized", `"Action":"acm-pca:IssueCertificate"`, `"acm-pca:TemplateArn":"arn:aws:acm-pca:::template/` + blankLeaf + `/V1"`}, 1},
		{"no right to fetch", func(_ *testing.T, s *localaws.Server, _ string, _ *ca.Request) {
			s.Configure(func(r *localaws.Rules) { r.Denied = []string{"GetCertificate"} })
		}, []string{"not authorized", `"Action":"acm-pca:GetCertificate"`}, 1},
		{"no right to describe", func(_ *testing.T, s *localaws.Server, _ string, _ *ca.Request) {
			s.Configure(func(r *localaws.Rules) { r.Denied = []string{"DescribeCertificateAuthority"} })
		}, []string{"not authorized", `"Action":"acm-pca:DescribeCertificateAuthority"`}, 0},
		{"too many certificates", func(_ *testing.T, s *localaws.Server, _ string, _ *ca.Request) {
			s.Configure(func(r *localaws.Rules) {
				r.Certificates = 0
				r.Fault = only("IssueCertificate", 9, &localaws.Fault{Code: "LimitExceededException", Message: "1000000 certificates"})
			})
		}, []string{"1000000 certificates"}, 1},
		{"another subject", func(t *testing.T, _ *localaws.Server, _ string, req *ca.Request) {
			id, err := ca.NewIdentity(ca.Names{URI: []string{"spiffe://cluster.local/ns/prod/sa/x"}})
			if err != nil {
				t.Fatal(err)
			}
			req.Identity = id
		}, []string{"subject"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, &localaws.Server{})
			arn := hierarchy(t, s, localaws.Spec{})
			req := request(t, nil, "payment")
			c.change(t, s, arn, &req)
			_, err := authority(t, arn, backends.AWSPCA{}, now).Issue(t.Context(), req)
			if _, ok := ca.IsRefusal(err); !ok {
				t.Fatalf("error %v, which is no refusal", err)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q is missing in: %v", says, err)
				}
			}
			if n := len(s.Calls("IssueCertificate")); n != c.asked {
				t.Errorf("it was asked for %d times", n)
			}
		})
	}
}

func put(t *testing.T, s *localaws.Server, arn, status string) {
	t.Helper()
	if err := s.SetStatus(arn, status); err != nil {
		t.Fatal(err)
	}
}

// The way in: what is wrong with credentials is said, and no secret with it.
func TestCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		keys []localaws.AccessKey
		says string
	}{
		"none":        {env: map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, says: "there are no AWS credentials"},
		"unknown":     {env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAOTHER"}, says: "UnrecognizedClient"},
		"wrong":       {env: map[string]string{"AWS_SECRET_ACCESS_KEY": "very-secret"}, says: "signature we calculated does not match"},
		"expired":     {env: map[string]string{"AWS_SESSION_TOKEN": "of-yesterday"}, keys: []localaws.AccessKey{expired()}, says: "expired"},
		"other token": {env: map[string]string{"AWS_SESSION_TOKEN": "other"}, says: "UnrecognizedClient"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &localaws.Server{Keys: c.keys})
			arn := hierarchy(t, s, localaws.Spec{})
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			_, err := authority(t, arn, backends.AWSPCA{}, now).Issue(t.Context(), request(t, nil, "payment"))
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "very-secret") || strings.Contains(err.Error(), "of-yesterday") {
				t.Errorf("error %v, want one with %q", err, c.says)
			}
			if _, refused := ca.IsRefusal(err); refused || errors.Is(err, ca.ErrAway) {
				t.Errorf("error %v, which is neither refusal nor away", err)
			}
		})
	}
}

func expired() localaws.AccessKey {
	k := localaws.ExampleKey()
	k.Session, k.Expires = "of-yesterday", time.Now().Add(-time.Hour)
	return k
}

// The token is made from request, end and template, and from nothing that changes
// between two tries; the ARNs are of the authority's own partition and region.
func TestOnTheWire(t *testing.T) {
	var bodies []map[string]any
	s := &localaws.Server{Partition: "aws-cn", Region: "cn-north-1", Account: "444455556666"}
	s.Now = now
	spy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bodies = append(bodies, bodyOf(t, r))
		s.ServeHTTP(w, r)
	})
	s.Clock = time.Now
	environment(t, "http://aws.example")
	arn := hierarchy(t, s, localaws.Spec{})
	req := request(t, nil, "payment")
	for range 2 {
		a := authority(t, arn, backends.AWSPCA{}, now)
		a.transport = direct{spy}
		if _, err := a.Issue(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	var tokens []string
	for _, b := range bodies {
		if b["TemplateArn"] == nil {
			continue
		}
		token := fmt.Sprint(b["IdempotencyToken"])
		if raw, err := hex.DecodeString(token); err != nil || len(raw) != 16 {
			t.Errorf("the token is %s", token)
		}
		tokens = append(tokens, token)
		if b["TemplateArn"] != "arn:aws-cn:acm-pca:::template/"+blankLeaf+"/V1" || b["SigningAlgorithm"] != "SHA256WITHECDSA" {
			t.Errorf("%v is signed by %v", b["TemplateArn"], b["SigningAlgorithm"])
		}
		end, _ := b["Validity"].(map[string]any)
		if end["Type"] != "ABSOLUTE" || end["Value"] != float64(req.Validity.NotAfter.Unix()) {
			t.Errorf("validity %v", end)
		}
	}
	if len(tokens) != 2 || tokens[0] != tokens[1] || len(s.Certificates()) != 1 {
		t.Errorf("tokens %v, %d certificates", tokens, len(s.Certificates()))
	}
}

func bodyOf(t *testing.T, r *http.Request) map[string]any {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzTicket: whatever was kept of an order is read, or refused, and never another
// authority's certificate.
func FuzzTicket(f *testing.F) {
	a := &Authority{arn: arn{text: "arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/a"}}
	for _, s := range []string{"", `{"asked":1}`, `{"arn":"` + a.arn.text + `/certificate/00"}`, `{"arn":"x"}`, `{}`, `{"asked":1}x`, "no such order"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, resume []byte) {
		got, err := a.ticketOf(resume)
		if err == nil && got.ARN != "" && !strings.HasPrefix(got.ARN, a.arn.text+"/certificate/") {
			t.Fatalf("%q is %+v", resume, got)
		}
		if err == nil && len(resume) > 0 && got == (ticket{}) {
			t.Fatalf("%q is nothing, and passed", resume)
		}
	})
}

// FuzzARN: an ARN is read whole, or refused as a reference.
func FuzzARN(f *testing.F) {
	for _, s := range []string{"arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/1f2e3d4c", "arn:aws-us-gov:acm-pca:us-gov-west-1:111122223333:certificate-authority/a-b",
		"arn:aws:s3:::b", "", "arn:aws:acm-pca::111122223333:certificate-authority/a", "arn:aws:acm-pca:x:1:certificate-authority/a", "arn:aws:acm-pca:x:111122223333:certificate-authority/a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseARN(text)
		if err != nil {
			if _, ok := errors.AsType[*backends.RefError](err); !ok {
				t.Fatalf("%q: error %v", text, err)
			}
			return
		}
		if a.text != text || !word(a.region) || len(a.account) != 12 || strings.Count(text, ":") != 5 || strings.ContainsAny(text, " \n\"'$`") {
			t.Fatalf("%q is %+v", text, a)
		}
	})
}
