// Command meshpki makes and keeps the certificates that mutual TLS between
// services stands on.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/meshpki/meshpki/backends/all"
	"github.com/meshpki/meshpki/cmd/meshpki/command"
	"github.com/meshpki/meshpki/internal/guard"
)

// version and commit are set by the linker.
var version, commit string

func main() { os.Exit(untilDone(world(os.Args, time.Now))) }

// untilDone runs the command line until it is done or interrupted, and gives the exit code.
func untilDone(env *command.Env) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What is in hand is ended in order; a second signal ends the process there and then.
	guard.Go(func(any) {}, func() {
		<-ctx.Done()
		stop()
	})
	return command.Main(ctx, env)
}

// world is this process's own: its streams, its environment, and the clock given.
func world(args []string, now func() time.Time) *command.Env {
	env := &command.Env{
		Args:      args,
		Stdin:     os.Stdin,
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		Getenv:    os.Getenv,
		Now:       now,
		Registry:  all.Registry(),
		StdinTTY:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		StderrTTY: term.IsTerminal(int(os.Stderr.Fd())),
		Hangups:   hangups,
		Version:   version,
		Commit:    commit,

		Executable: os.Executable,
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && env.Width == 0 {
			env.Width = w
		}
	}
	env.ReadPassword = func() ([]byte, error) { return term.ReadPassword(int(os.Stdin.Fd())) }
	env.RestoreTerminal = func() error { return nil }
	if state, err := term.GetState(int(os.Stdin.Fd())); err == nil && env.StdinTTY {
		env.RestoreTerminal = func() error { return term.Restore(int(os.Stdin.Fd()), state) }
	}
	env.Stdout = &once{w: os.Stdout}
	return env
}

// hangups takes SIGHUP, which ends a program that does not.
func hangups() (<-chan os.Signal, func()) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	return told, func() { signal.Stop(told) }
}

// once remembers the first error of a stream and repeats it, so that an answer
// that was cut off is not followed by more of it.
type once struct {
	w   io.Writer
	err error
}

func (o *once) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	o.err = err
	return n, err
}
