package backendtest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// The suites are held against stores, ledgers and authorities with one defect
// each: a suite that finds nothing wrong with one of them is itself at fault.

// defects lists what is broken, and the tests of the suite that must fail for it.
var defects = []struct {
	name  string
	run   func(t *testing.T)
	fails []string
}{
	{"store loses updates", storeWith(&loose{ignoreVersion: true}), []string{"a lost update is refused", "of several at once exactly one wins"}},
	{"store forgets facts", storeWith(&loose{dropFacts: true}), []string{"what was saved is loaded", "a set of facts alone is kept"}},
	{"store forgets what is secret", storeWith(&loose{dropSecret: true}), []string{"what was saved is loaded"}},
	{"store keeps old names", storeWith(&loose{merge: true}), []string{"names that the new set lacks vanish"}},
	{"store takes facts alone for nothing", storeWith(&loose{emptyIsNothing: true}), []string{"a set of facts alone is kept"}},
	{"store saves in two steps", storeWith(&loose{twoSteps: true}), []string{"readers see whole sets"}},
	{"store takes any name", storeWith(&loose{anyName: true}), []string{"hostile names are refused"}},
	{"store takes no heed of contexts", storeWith(&loose{ignoreContext: true}), []string{"a context that has ended is honoured"}},
	{"store hands out its own bytes", storeWith(&loose{alias: true}), []string{"what is handed over is copied"}},
	{"store tells a secret", storeWith(&loose{name: "https://user:hunter2@host"}), []string{"String names the place and no secret"}},
	{"store cuts large files", storeWith(&loose{largest: 1000}), []string{"a large file is kept"}},
	{"store begins with something", storeWith(&loose{full: true}), []string{"an empty place is fs.ErrNotExist"}},
	{"store is emptied at any version", stickyWith(sticky{ignoreVersion: true}), []string{"a place is emptied"}},
	{"store is not emptied", stickyWith(sticky{doesNothing: true}), []string{"a place is emptied"}},
	{"store is emptied after its context", stickyWith(sticky{ignoreContext: true}), []string{"a place is emptied"}},
	{"store is as it was at any version", hazyWith(hazy{always: true}), []string{"what is as it was is known by its version"}},
	{"store is never as it was", hazyWith(hazy{never: true}), []string{"what is as it was is known by its version"}},
	{"store is as it was when it is not", hazyWith(hazy{ignoreVersion: true}), []string{"what is as it was is known by its version"}},
	{"store goes by what it was told and asks nobody", mindfulWith(mindful{blind: true}), []string{"what is remembered is held against the place"}},
	{"store remembers any version", mindfulWith(mindful{anyVersion: true}), []string{"what is remembered is held against the place"}},
	{"store recalls any text", mindfulWith(mindful{anyText: true}), []string{"what is remembered is held against the place"}},
	{"store remembers its files", mindfulWith(mindful{tells: true}), []string{"what is remembered is held against the place"}},
	{"store compares after its context", hazyWith(hazy{ignoreContext: true}), []string{"what is as it was is known by its version"}},
	{"ledger turns the order round", ledgerWith(&forgetful{reverse: true}), []string{"entries are kept whole and in order"}},
	{"ledger loses entries under load", ledgerWith(&forgetful{race: true}), []string{"writers at once lose nothing"}},
	{"ledger revokes every leaf", ledgerWith(&forgetful{revokeAll: true}), []string{"revocations are seen at once, and they alone"}},
	{"ledger sees revocations late", ledgerWith(&forgetful{late: true}), []string{"revocations are seen at once, and they alone"}},
	{"ledger takes no heed of contexts", ledgerWith(&forgetful{ignoreContext: true}), []string{"a context that has ended is honoured"}},
	{"ledger forgets notes", ledgerWith(&forgetful{dropNotes: true}), []string{"entries are kept whole and in order"}},
	{"authority adds the root", authorityWith(liar{root: true}), []string{"every profile and key type is certified as asked"}},
	{"authority certifies the client profile only", authorityWith(liar{profile: true}), []string{"every profile and key type is certified as asked"}},
	{"authority takes its names from the CSR", authorityWith(liar{wishes: true}), []string{"a CSR's own wishes are not certified"}},
	{"authority refuses in words alone", authorityWith(liar{noRefusal: true}), []string{"a weak key is refused", "a CSR that is not signed by its key is refused"}},
	{"authority refuses what it should cut", authorityWith(liar{uncut: true}), []string{"a lifetime that cannot be is refused or cut"}},
	{"authority forgets what it revoked", authorityWith(liar{revokeAgain: true}), []string{"a certificate is revoked once"}},
	{"authority takes no heed of contexts", authorityWith(liar{ignoreContext: true}), []string{"a context that has ended is honoured", "a certificate is revoked once"}},
	{"authority signs twice for one token", authorityWith(liar{}), []string{"one token gives one certificate", "a slow order is asked once and resumed"}},
	{"authority gives one serial to all", authorityWith(liar{same: true}), []string{"serial numbers are large and never twice"}},
	{"authority has no roots", authorityWith(liar{noRoots: true}), []string{"roots are CA certificates"}},
	{"authority judges otherwise than it signs", authorityWith(liar{noJudge: true}), []string{"names outside its rules are refused"}},
}

func storeWith(l *loose) func(*testing.T) {
	return func(t *testing.T) {
		backendtest.TestStore(t, func(*testing.T) issue.Store { fresh := *l; return &fresh },
			backendtest.StoreOptions{Secrets: []string{"hunter2"}})
	}
}

func ledgerWith(f *forgetful) func(*testing.T) {
	return func(t *testing.T) {
		backendtest.TestLedger(t, func(*testing.T) ca.Ledger { fresh := *f; return &fresh }, backendtest.LedgerOptions{})
	}
}

func authorityWith(l liar) func(*testing.T) {
	return func(t *testing.T) {
		backendtest.TestAuthority(t, func(t *testing.T) ca.Authority { return l.fresh(t) }, backendtest.AuthorityOptions{
			Now: clock, KeyTypes: []ca.KeyType{ca.ECP256}, Longest: start.Add(365 * 24 * time.Hour),
			Refused: ca.Names{DNS: []string{"refused.example"}}, Idempotent: true, Resumes: true})
	}
}

const inChild = "MESHPKI_TEST_DEFECTS"

// TestDefects runs in a process of its own: it is there to fail.
func TestDefects(t *testing.T) {
	if os.Getenv(inChild) == "" {
		t.Skip("for TestSuites")
	}
	for _, d := range defects {
		t.Run(d.name, d.run)
	}
}

func TestSuites(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDefects$", "-test.v")
	cmd.Env = append(os.Environ(), inChild+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("the suites found nothing wrong at all")
	}
	text := string(out)
	if !strings.Contains(text, "--- FAIL: TestDefects (") || strings.Contains(text, "panic:") {
		t.Fatalf("the run did not come to its end:\n%s", text[max(0, len(text)-4000):])
	}
	under := func(names ...string) string { return strings.ReplaceAll(strings.Join(names, "/"), " ", "_") + " (" }
	for _, d := range defects {
		for _, test := range d.fails {
			if !strings.Contains(text, "--- FAIL: TestDefects/"+under(d.name, test)) {
				t.Errorf("%s: the test %q does not fail", d.name, test)
			}
		}
	}
}
