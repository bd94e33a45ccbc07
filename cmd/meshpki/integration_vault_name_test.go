//go:build integration && linux

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The name of Vault loses its address while a daemon runs: what is there stays as it is,
// status says why the rest is not, and once the name has its address again all is signed.
func TestIntegrationVaultNameGone(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	v.mount("pki", true)
	r := newVaultRun(t, v)
	keep := t.TempDir()
	id, file, secret := v.approle(keep)
	const name = "vault.meshpki.test"
	_, port, _ := strings.Cut(strings.TrimPrefix(v.proxy, "http://"), ":")
	hosts, resolver := filepath.Join(keep, "hosts"), filepath.Join(keep, "resolv.conf")
	r.put(resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n") // where nobody answers
	manifest := func(address, services string) {
		r.write("pki/meshpki.yaml", fmt.Sprintf(vaultEntry, address, id, file)+"services:\n- {name: payment}\n- {name: account}\n"+services)
	}
	known := func(is bool) {
		text := "127.0.0.1 localhost\n"
		if is {
			text += "127.0.0.1 " + name + "\n"
		}
		r.put(hosts, text)
		// Whoever has read it goes by that for five seconds.
		time.Sleep(6 * time.Second)
	}
	manifest(v.proxy, "")
	r.must(0, "issue", "--file", "pki/meshpki.yaml")
	manifest("http://"+name+":"+port, "")
	r.put(hosts, "127.0.0.1 localhost\n127.0.0.1 "+name+"\n")
	// The daemon has a table of names of its own.
	daemon := r.command("renew", "--daemon")
	in := exec.CommandContext(t.Context(), program(t, "unshare"), append([]string{"--mount", program(t, "sh"), "-eu", "-c",
		`mount --bind "$1" /etc/hosts; mount --bind "$2" /etc/resolv.conf; shift 2; exec "$@"`, "sh", hosts, resolver}, daemon.Args...)...)
	in.Dir, in.Env = daemon.Dir, daemon.Env
	logged := &output{}
	in.Stdout, in.Stderr = logged, logged
	if err := in.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Process.Kill(); _ = in.Wait() })
	until := func(what string, ok func() bool) {
		t.Helper()
		patient(t, what, ok, logged.String)
	}
	until("it is ready", func() bool { return strings.Contains(logged.String(), "msg=ready") })
	leaves := []string{"pki/services/default/payment/tls.crt", "pki/services/default/account/tls.crt"}
	before := [][]byte{r.read(leaves[0]), r.read(leaves[1])}

	known(false)
	v.drop()
	manifest("http://"+name+":"+port, "- {name: third}\n")
	const why = "there is no address of " + name
	_ = in.Process.Signal(syscall.SIGHUP)
	until("it is told", func() bool { return strings.Contains(logged.String(), why) })
	until("status tells it", func() bool { return strings.Contains(line(r.any("status")), why) })
	asked := v.count("/v1/pki/sign/mesh")
	for i, leaf := range leaves {
		if !bytes.Equal(r.read(leaf), before[i]) {
			t.Errorf("%s was touched", leaf)
		}
	}

	known(true)
	_ = in.Process.Signal(syscall.SIGHUP)
	until("the third is signed", func() bool { return strings.Contains(logged.String(), "msg=renewed service=third.default") })
	if n := v.count("/v1/pki/sign/mesh"); asked != 2 || n != 3 {
		t.Errorf("it was asked %d times, and then %d", asked, n)
	}
	r.must(0, "status")
	r.said.WriteString(logged.String())
	r.clean(secret)
}
