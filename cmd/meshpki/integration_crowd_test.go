//go:build integration

package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const crowd = 16

// atOnce runs that many processes at the same time and gives their answers.
func atOnce(t *testing.T, args func(i int) []string) []answer {
	t.Helper()
	answers := make([]answer, crowd)
	name := meshpki(t)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = run(t, name, args(i)...) })
	}
	all.Wait()
	return answers
}

// codes counts the exit codes.
func codes(answers []answer) map[int]int {
	n := map[int]int{}
	for _, a := range answers {
		n[a.code]++
	}
	return n
}

// TestCrowdOfInits: of many that would make the same directory one does, and the
// others change nothing.
func TestCrowdOfInits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	answers := atOnce(t, func(i int) []string { return []string{"ca", "init", "--name", fmt.Sprintf("Mesh %d", i), "--dir", dir} })
	if n := codes(answers); n[0] != 1 || n[2] != crowd-1 {
		t.Fatalf("want one exit 0 and the rest 2: %v", answers)
	}
	c := mesh{t, dir}.issue("payment")
	ask(t, question{target: c.chain(), roots: c.roots(), trusted: true})
}

// TestCrowdOfIssuers: many processes for services of their own, then many for one.
// No serial twice, every set whole, and the record of all of them holds.
func TestCrowdOfIssuers(t *testing.T) {
	m := newMesh(t)
	for _, a := range atOnce(t, func(i int) []string {
		return []string{"issue", "--service", fmt.Sprintf("service-%d", i), "--dir", m.dir}
	}) {
		if a.code != 0 {
			t.Errorf("services of their own: %s", a)
		}
	}
	serials := map[string]string{}
	for i := range crowd {
		c := credential{t, filepath.Join(m.dir, "services", "default", fmt.Sprintf("service-%d", i))}
		ask(t, question{target: c.chain(), roots: c.roots(), trusted: true})
		serial := certificates(t, c.chain())[0].SerialNumber.String()
		if other := serials[serial]; other != "" {
			t.Errorf("%s and %s have the same serial %s", c.dir, other, serial)
		}
		serials[serial] = c.dir
	}

	answers := atOnce(t, func(int) []string { return []string{"issue", "--service", "payment", "--dir", m.dir} })
	if n := codes(answers); n[0] != 1 || n[1] != crowd-1 {
		t.Errorf("one service without --force: want one exit 0 and the rest 1: %v", answers)
	}
	for _, a := range atOnce(t, func(int) []string { return []string{"issue", "--service", "payment", "--force", "--dir", m.dir} }) {
		if a.code != 0 && a.code != 1 {
			t.Errorf("one service with --force: %s", a)
		}
	}
	c := credential{t, filepath.Join(m.dir, "services", "default", "payment")}
	checkSelfContained(t, c)
	m.must("log", "verify")
}

// TestReadersSeeWholeSets: a reader that resolves the directory once, as readers of
// Kubernetes mounts do, always finds three files that belong together.
func TestReadersSeeWholeSets(t *testing.T) {
	m := newMesh(t)
	c := m.issue("payment")
	stop, reads := make(chan struct{}), 0
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			generation, err := os.Readlink(filepath.Join(c.dir, "..data"))
			if err != nil {
				t.Errorf("after %d reads: %v", reads, err)
				return
			}
			whole := filepath.Join(c.dir, generation)
			if _, err := tls.LoadX509KeyPair(filepath.Join(whole, "tls.crt"), filepath.Join(whole, "tls.key")); err != nil {
				t.Errorf("after %d reads: %v", reads, err)
				return
			}
			reads++
		}
	})
	for range 25 {
		m.issue("payment", "--force")
		// The generation before is kept, not those before it: a reader has this long.
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	reader.Wait()
	if reads < 25 {
		t.Errorf("only %d reads while 25 sets were written", reads)
	}
	// What stays is the link, the present set, the one before it, and ten older ones
	// without their keys.
	for pattern, want := range map[string]int{"..*": 13, "..gen-*": 2, "..old-*": 10, "..gen-*/tls.key": 2, "..old-*/tls.crt": 10, "..old-*/tls.key": 0} {
		if left, err := filepath.Glob(filepath.Join(c.dir, pattern)); err != nil || len(left) != want {
			t.Errorf("want %d of %s, got %s (%v)", want, pattern, strings.Join(left, " "), err)
		}
	}
}
