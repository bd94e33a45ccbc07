//go:build integration || bench

package backendtest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartVaultCluster starts two that share one storage: the first is active, the second
// a standby. Both end with the test.
func StartVaultCluster(t testing.TB) (active, standby *VaultServer) {
	t.Helper()
	active, standby = vaultNode(t, "one"), vaultNode(t, "two")
	active.start()
	status, answer := active.Try("POST", "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1})
	if status != http.StatusOK {
		t.Fatalf("sys/init: %d %v", status, answer)
	}
	keys, _ := answer["keys"].([]any)
	token, _ := answer["root_token"].(string)
	if len(keys) != 1 || token == "" {
		t.Fatalf("sys/init: %v", answer)
	}
	for _, v := range []*VaultServer{active, standby} {
		v.Unseal, v.Token = fmt.Sprint(keys[0]), token
	}
	active.Do("POST", "sys/unseal", map[string]any{"key": active.Unseal})
	active.wait(http.StatusOK)
	standby.start()
	standby.Do("POST", "sys/storage/raft/join", map[string]any{"leader_api_addr": active.Address})
	standby.unseal()
	standby.wait(http.StatusTooManyRequests)
	return active, standby
}

// vaultNode is one node of a cluster, which is not started yet.
func vaultNode(t testing.TB, name string) *VaultServer {
	t.Helper()
	v := &VaultServer{t: t, Program: Tool(t, "vault"), dir: t.TempDir(), http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	t.Cleanup(v.Stop)
	ports := freePorts(t)
	v.Address, v.config = "http://127.0.0.1:"+ports[0], filepath.Join(v.dir, "vault.hcl")
	text := fmt.Sprintf("storage \"raft\" {\n  path = %q\n  node_id = %q\n  performance_multiplier = 2\n}\nlistener \"tcp\" {\n  address = \"127.0.0.1:%s\"\n  cluster_address = \"127.0.0.1:%s\"\n  tls_disable = true\n}\napi_addr = %q\ncluster_addr = \"https://127.0.0.1:%s\"\ndisable_mlock = true\n",
		filepath.Join(v.dir, "data"), name, ports[0], ports[1], v.Address, ports[1])
	if err := os.Mkdir(filepath.Join(v.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(v.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return v
}

// start starts a node of a cluster with what it had, sealed.
func (v *VaultServer) start() {
	v.t.Helper()
	v.process = exec.Command(v.Program, "server", "-config="+v.config)
	v.process.Env = []string{"HOME=" + v.dir}
	if err := v.process.Start(); err != nil {
		v.t.Fatal(err)
	}
	port := strings.TrimPrefix(v.Address, "http://")
	for i := 0; ; i++ {
		c, err := net.Dial("tcp", port)
		if err == nil {
			c.Close()
			break
		}
		if i > looks {
			v.t.Fatal("a node of vault does not start")
		}
		time.Sleep(look)
	}
}

// Restart starts a node of a cluster that has been stopped, and unseals it.
func (v *VaultServer) Restart() {
	v.t.Helper()
	v.start()
	v.unseal()
}

// unseal unseals a node, as soon as it lets itself be.
func (v *VaultServer) unseal() {
	v.t.Helper()
	for range looks {
		if status, answer := v.Try("POST", "sys/unseal", map[string]any{"key": v.Unseal}); status == http.StatusOK && answer["sealed"] == false {
			return
		}
		time.Sleep(look)
	}
	v.t.Fatal("a node of vault stays sealed")
}
