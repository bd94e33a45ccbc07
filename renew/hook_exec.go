package renew

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/guard"
)

// What is waited for after the end of a program's time, and after its own end.
const (
	killGrace = 5 * time.Second // between asking its processes to end and ending them
	pipeGrace = time.Second     // for output that processes it left behind may still hold back
)

// runProgram runs a program to its end, or ends it with every process of its group
// when ctx is done. It gives what was said on both outputs.
func runProgram(ctx context.Context, argv, environ []string) ([]byte, error) {
	program, err := findProgram(argv[0])
	if err != nil {
		return nil, err
	}
	p := &process{name: argv[0], exited: make(chan struct{}), drained: make(chan struct{}), release: make(chan struct{}), ended: make(chan error, 1)}
	if err := p.start(program, argv, environ); err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	err = p.wait(ctx)
	out := p.out.bytes()
	if err != nil {
		return out, saying(err, out)
	}
	return out, nil
}

// findProgram looks a bare name up on HookPath; meshpki's own PATH has no say. A
// program that others could change is refused to root.
func findProgram(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, durable.Trusted(name, durable.None)
	}
	for dir := range strings.SplitSeq(HookPath, ":") {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full, durable.Trusted(full, durable.None)
		}
	}
	return "", fmt.Errorf("no program %s in %s: %w", quoted(name), HookPath, fs.ErrNotExist)
}

// process is a program that was started, leader of its own process group.
type process struct {
	name    string
	cmd     *exec.Cmd
	out     output
	read    *os.File      // our end of its output's pipe
	exited  chan struct{} // closed when it is over, and not yet reaped where the system allows that
	drained chan struct{} // closed when nothing more is read from the pipe
	release chan struct{} // closed when it may be reaped
	ended   chan error    // its end, after it was reaped
}

func (p *process) start(program string, argv, environ []string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer write.Close()
	// The limit is kept by wait, for the whole group; the command itself has none.
	p.cmd = exec.CommandContext(context.Background(), program)
	p.cmd.Args, p.cmd.Env, p.cmd.Dir = argv, environ, rootDirectory()
	p.cmd.Stdout, p.cmd.Stderr = write, write
	ownGroup(p.cmd)
	if err := closeInherited(); err != nil {
		read.Close()
		return err
	}
	if err := p.cmd.Start(); err != nil {
		read.Close()
		if cause := errors.Unwrap(err); cause != nil {
			return cause
		}
		return err
	}
	p.read = read
	guard.Go(func(any) {}, func() {
		defer close(p.drained)
		_, _ = io.Copy(&p.out, p.read)
	})
	guard.Go(func(r any) { p.ended <- fmt.Errorf("internal error: %v", r) }, func() {
		var err error
		held := awaitExit(p.cmd.Process.Pid)
		if !held {
			err = p.cmd.Wait()
		}
		close(p.exited)
		<-p.release
		if held {
			err = p.cmd.Wait()
		}
		p.ended <- err
	})
	return nil
}

// wait sees the program to its end, whichever way it comes.
func (p *process) wait(ctx context.Context) error {
	killed := false
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.kill()
		killed = true
	}
	// A process that was left behind, a daemon perhaps, may hold the pipe for ever:
	// what it says later is not the hook's.
	within(p.drained, pipeGrace)
	p.read.Close()
	within(p.drained, pipeGrace)
	close(p.release)
	select {
	case err := <-p.ended:
		if killed {
			return fmt.Errorf("%s was ended: %w", p.name, context.Cause(ctx))
		}
		return p.outcome(err)
	case <-after(killGrace):
		return fmt.Errorf("%s cannot be ended, %w", p.name, context.Cause(ctx))
	}
}

// kill ends the whole group. Until the leader is reaped no other group can be
// given its number.
func (p *process) kill() {
	endGroup(p.cmd, false)
	// Done is when the leader is over and nobody holds the pipe.
	if within(p.exited, killGrace) {
		within(p.drained, pipeGrace)
	}
	endGroup(p.cmd, true)
	within(p.exited, killGrace)
}

// outcome says how a program that ended by itself ended.
func (p *process) outcome(err error) error {
	state, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if signal := signalOf(state.ProcessState); signal != "" {
		return fmt.Errorf("%s was killed by %s", p.name, signal)
	}
	return fmt.Errorf("%s ended with exit code %d", p.name, state.ExitCode())
}

// within waits for a channel to be closed, and tells whether it was in time.
func within(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return true
	case <-after(d):
		return false
	}
}

func after(d time.Duration) <-chan time.Time { return time.NewTimer(d).C }
