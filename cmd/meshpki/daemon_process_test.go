package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// manager is a service manager, as far as sd_notify(3) goes.
type manager struct {
	t    *testing.T
	path string
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "meshpki") //nolint:usetesting // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return newManagerAt(t, filepath.Join(dir, "notify"))
}

// newManagerAt listens at a path, or at @name in the abstract namespace of Linux.
func newManagerAt(t *testing.T, path string) *manager {
	t.Helper()
	m := &manager{t: t, path: path}
	var err error
	m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// await reads what is told until a message has such a line, and gives all of it.
func (m *manager) await(line string) (told []string, err error) {
	if err := m.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			return told, err
		}
		told = append(told, string(buf[:n]))
		if slices.ContainsFunc(strings.Split(string(buf[:n]), "\n"), func(l string) bool { return strings.HasPrefix(l, line) }) {
			return told, nil
		}
	}
}

// expect is await that must succeed.
func (m *manager) expect(line string) []string {
	m.t.Helper()
	told, err := m.await(line)
	if err != nil {
		m.t.Fatalf("waited for %s, told %q: %v", line, told, err)
	}
	return told
}

// runDaemon runs a daemon until it says that it is ready, and stops it.
func runDaemon(t *testing.T, cmd *exec.Cmd) error {
	m := newManager(t)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+m.path)
	if err := cmd.Start(); err != nil {
		return err
	}
	_, notReady := m.await("READY=1")
	return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait(), notReady)
}

// output is what a process says, to be read while it runs.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}
