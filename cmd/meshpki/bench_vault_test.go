//go:build bench && unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
)

// TestBenchVault has Vault sign for many services, and for a bare loop over vault/api
// that makes keys and asks for the same certificates, over as many connections and with as
// good a token, and writes the same files: without waiting for the disk, and once more so
// that they are there after a crash, as meshpki's are. Each is a process of its own, from
// its start to its end. All share the machine's processors with Vault, so its time is told
// as well. It judges nothing. It is to run before whatever removes many files: for minutes
// after that, ext4 takes longer to make others. Each begins with nothing left to write:
// whoever waits for the disk would else write for the one before, who did not.
func TestBenchVault(t *testing.T) {
	const services, workers = 1000, 64
	if there, err := exec.CommandContext(t.Context(), filepath.Join("..", "..", "testdata", "tools", "build"), "-n", "vault").Output(); err != nil || len(there) == 0 {
		fmt.Println("vault is not here: testdata/tools/build vault builds it")
		return
	}
	b := newBench(t)
	v := &realVault{VaultServer: backendtest.StartVault(t, false), t: t}
	v.mount("pki", true)
	id, file, secret := v.approle(t.TempDir())
	var text strings.Builder
	fmt.Fprintf(&text, vaultEntry+"services:\n", v.Address, id, file)
	for i := range services {
		fmt.Fprintf(&text, "- name: service-%d\n", i)
	}
	var bare, synced, ours, again, served, loaded spent
	for round := range 5 {
		dir, err := filepath.Abs(b.file(fmt.Sprintf("round-%d", round)))
		must(t, err)
		must(t, os.Mkdir(dir, 0o755))
		syscall.Sync()
		was := v.CPU()
		bare.add(b.vaultLoop(bareVaultLoop{v.Address, id, secret, dir, services, workers, false}))
		loaded.add(0, milliseconds(v.CPU()-was))
		syscall.Sync()
		synced.add(b.vaultLoop(bareVaultLoop{v.Address, id, secret, filepath.Join(dir, "synced"), services, workers, true}))
		manifest := filepath.Join(dir, "pki", "meshpki.yaml")
		must(t, os.MkdirAll(filepath.Dir(manifest), 0o755))
		must(t, os.WriteFile(manifest, []byte(text.String()), 0o600))
		syscall.Sync()
		was = v.CPU()
		ours.add(b.once([]string{meshpki(t), "issue", "--file", manifest, "--dir", filepath.Dir(manifest)}))
		served.add(0, milliseconds(v.CPU()-was))
		syscall.Sync()
		again.add(b.once([]string{meshpki(t), "renew", "--force", "--dir", filepath.Dir(manifest)}))
	}
	b.row(fmt.Sprintf("bare loop over vault/api: %d services", services), bare.String()+", Vault "+ms(median(loaded.cpu)), "")
	b.row("the same, with its files synced", synced.String(), "")
	b.row("issue --file for as many, on disk for good", ours.String()+", Vault "+ms(median(served.cpu)), "")
	b.ratio("  rate, ours to bare", bare.wall, ours.wall, "at least 0.9")
	b.ratio("  rate, ours to the bare loop that syncs", synced.wall, ours.wall, "")
	b.ratio("  CPU time, with Vault's, ours to bare", sums(bare.cpu, loaded.cpu), sums(ours.cpu, served.cpu), "")
	b.row("renew --force for as many", again.String(), "")
	b.ratio("  rate, ours to bare", bare.wall, again.wall, "at least 0.9")
	b.ratio("  rate, ours to the bare loop that syncs", synced.wall, again.wall, "")
	b.print(5)
}

// bareVaultLoop is what the process of a bare loop is told.
type bareVaultLoop struct {
	Address, Role, Secret, Dir string
	Services, Workers          int
	Synced                     bool
}

const bareVaultLoopEnv = "MESHPKI_BENCH_VAULT_LOOP"

// vaultLoop has a process of this program run the loop.
func (b *bench) vaultLoop(l bareVaultLoop) (wall, cpu float64) {
	b.t.Helper()
	told, err := json.Marshal(l)
	must(b.t, err)
	self, err := os.Executable()
	must(b.t, err)
	c := b.command([]string{self, "-test.run=^TestBareVaultLoop$"})
	c.Env = append(c.Env, bareVaultLoopEnv+"="+string(told))
	wall, cpu, _ = b.clock(c)
	return wall, cpu
}

// TestBareVaultLoop is the bare loop of TestBenchVault; for itself it does nothing.
func TestBareVaultLoop(t *testing.T) {
	told := os.Getenv(bareVaultLoopEnv)
	if told == "" {
		return
	}
	var l bareVaultLoop
	must(t, json.Unmarshal([]byte(told), &l))
	backendtest.BareVaultLoop(t, l.Address, l.Role, l.Secret, l.Dir, l.Services, l.Workers, l.Synced)
}

// sums adds two rows, one by one.
func sums(a, b []float64) []float64 {
	var out []float64
	for i := range a {
		out = append(out, a[i]+b[i])
	}
	return out
}
