package acme

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/internal/durable"
)

// hookPath is where a program without a path is looked for.
const hookPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Bounds of a hook.
const (
	hookTime   = 2 * time.Minute // where the settings say nothing
	hookGrace  = 2 * time.Second // for output that processes it left behind may hold back
	hookOutput = 16 << 10        // bytes of its output that are kept
)

// dnsHook answers dns-01 by a program, which is run without a shell as
//
//	PROGRAM ARGUMENT… present _acme-challenge.payment.example.com VALUE
//	PROGRAM ARGUMENT… cleanup _acme-challenge.payment.example.com VALUE
//
// It puts a TXT record of that value beside those that are there, or takes it away,
// and ends with 0 once that is done.
type dnsHook struct {
	argv          []string
	wait, timeout time.Duration
}

func (dnsHook) kind() string             { return acme.ChallengeTypeDNS01 }
func (d dnsHook) settles() time.Duration { return d.wait }

func (d dnsHook) present(ctx context.Context, c acme.Challenge) (func(context.Context) error, error) {
	if !isToken(c.Token) {
		return nil, errToken
	}
	name, value := c.DNS01TXTRecordName(), c.DNS01KeyAuthorization()
	if err := d.run(ctx, "present", name, value); err != nil {
		// It may have been done all the same.
		return nil, errors.Join(err, d.run(context.WithoutCancel(ctx), "cleanup", name, value))
	}
	return func(ctx context.Context) error { return d.run(ctx, "cleanup", name, value) }, nil
}

func (d dnsHook) run(ctx context.Context, arguments ...string) error {
	program, err := findProgram(d.argv[0])
	if err != nil {
		return err
	}
	limit := d.timeout
	if limit <= 0 {
		limit = hookTime
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(within, program, append(d.argv[1:len(d.argv):len(d.argv)], arguments...)...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = append(systemEnviron(), "PATH="+hookPath), rootDirectory(), hookGrace
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	ownGroup(cmd)
	err = cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case within.Err() != nil:
		err = fmt.Errorf("it was ended after %s", limit)
	}
	if line := out.lastLine(); line != "" {
		return fmt.Errorf("%s %s: %w; it said %q", d.argv[0], arguments[0], err, short(line))
	}
	return fmt.Errorf("%s %s: %w", d.argv[0], arguments[0], err)
}

// findProgram looks a bare name up on hookPath. A program that others could change
// is refused to root.
func findProgram(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, durable.Trusted(name, durable.None)
	}
	if strings.ContainsAny(name, `/\`) {
		return "", fmt.Errorf("%q is neither an absolute path nor a bare name", name)
	}
	for dir := range strings.SplitSeq(hookPath, ":") {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full, durable.Trusted(full, durable.None)
		}
	}
	return "", fmt.Errorf("no program %q in %s: %w", name, hookPath, fs.ErrNotExist)
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if more := len(t.kept) - hookOutput; more > 0 {
		t.kept = append(t.kept[:0], t.kept[more:]...)
	}
	return len(p), nil
}

func (t *tail) lastLine() string {
	lines := bytes.FieldsFunc(t.kept, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if line := bytes.TrimSpace(lines[i]); len(line) > 0 {
			return string(line)
		}
	}
	return ""
}
