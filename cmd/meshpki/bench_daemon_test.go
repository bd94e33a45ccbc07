//go:build bench && linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watched is how many services the daemon that is measured looks after.
const watched = 10_000

// TestBenchDaemon measures what a daemon takes while nothing is due, and prints it:
// between its looks at everything, for such a look, and both together at the
// pace at which it makes them.
func TestBenchDaemon(t *testing.T) {
	b := newBench(t)
	var manifest strings.Builder
	manifest.WriteString("apiVersion: meshpki/v1\nservices:\n")
	for i := range watched {
		fmt.Fprintf(&manifest, "  - {name: service-%d, namespace: ns-%d}\n", i, i%50)
	}
	must(t, os.WriteFile(b.file("meshpki.yaml"), []byte(manifest.String()), 0o600))
	m := newManager(t)
	cmd := b.command(b.meshpki("renew", "--daemon", "--config", b.file("meshpki.yaml"))(0))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path)
	cmd.Stderr = nil
	must(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := cmd.Process.Pid
	// Until all have their first certificate.
	for line := ""; !strings.HasPrefix(line, fmt.Sprintf("STATUS=%d services under care; next renewal on ", watched)); {
		must(t, m.conn.SetReadDeadline(time.Now().Add(10*time.Minute)))
		buf := make([]byte, 4096)
		n, err := m.conn.Read(buf)
		must(t, err)
		line = string(buf[:n])
		if at := strings.Index(line, "next renewal on "); at > 0 {
			next, err := time.Parse("2006-01-02 15:04 UTC", line[at+len("next renewal on "):])
			if must(t, err); time.Until(next) < time.Hour {
				line = ""
			}
		}
	}
	time.Sleep(30 * time.Second) // memory is given back little by little
	idle := share(t, pid, time.Minute)
	rss := resident(t, pid)
	before := used(t, pid)
	must(t, cmd.Process.Signal(syscall.SIGHUP))
	time.Sleep(20 * time.Second)
	look := used(t, pid) - before
	b.row(fmt.Sprintf("a daemon with %d services: between looks", watched), fmt.Sprintf("%.4f %% of a core", 100*idle), "")
	b.row("  to read the manifest and look at everything", fmt.Sprintf("%.1f ms", 1000*look.Seconds()), "")
	// As the loop has it: 0.05 % of a core, but each hour at the least and no oftener
	// than each ten minutes.
	every := min(max(10*time.Minute, 2000*look), time.Hour)
	b.row("  both together", fmt.Sprintf("%.4f %% of a core", 100*(idle+look.Seconds()/every.Seconds())), "under 0.1 %")
	b.row("  resident memory", fmt.Sprintf("%.1f MB", rss), "at most 80 MB")
	b.row("  the same after another look", fmt.Sprintf("%.1f MB", resident(t, pid)), "at most 80 MB")
	b.print(1)
}

// used is the time that a process has run on a core.
func used(t *testing.T, pid int) (total time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	must(t, err)
	for _, name := range threads {
		data, err := os.ReadFile(name)
		must(t, err)
		ns, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		must(t, err)
		total += time.Duration(ns)
	}
	return total
}

// share is the part of a core that a process takes for a while.
func share(t *testing.T, pid int, during time.Duration) float64 {
	t.Helper()
	before, began := used(t, pid), time.Now()
	time.Sleep(during)
	return float64(used(t, pid)-before) / float64(time.Since(began))
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// resident is a process's resident memory in MB (2^20 bytes).
func resident(t *testing.T, pid int) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	kb, err := strconv.ParseFloat(residentLine.FindStringSubmatch(string(data))[1], 64)
	must(t, err)
	return kb / 1024
}
