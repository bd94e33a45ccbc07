//go:build bench && unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// rounds is how often each of the programs that are compared is run, one after
// the other in turn, so that what else the machine does strikes all alike.
const rounds = 31

// TestBenchProcesses measures whole processes and prints a table. It judges
// nothing: a figure on a busy machine is no failure. What is written lies under
// bin, on the disk of the work tree: a file system in memory would not show what
// durable writes cost.
func TestBenchProcesses(t *testing.T) {
	b := newBench(t)
	version := b.meshpki("version")
	issue := func(i int) []string { return b.meshpki("issue", "--service", fmt.Sprintf("payment-%d", i))(i) }
	times := b.compare(version, issue, b.openssl)
	start, whole, openssl := times[0], times[1], times[2]

	b.row("meshpki version", ms(median(start)), "at most 10 ms")
	b.row("openssl req -x509, signed by a CA", ms(median(openssl)), "")
	b.row("meshpki issue --service payment-N", ms(median(whole)), "")
	b.ratio("issue / openssl", whole, openssl, "at most 1.2")
	above := make([]float64, rounds)
	for i := range above {
		above[i] = whole[i] - start[i]
	}
	b.row("issue less version", ms(median(above)), "")
	b.ratio("(issue - version) / openssl", above, openssl, "at most 0.7")
	b.compareStep(issue)

	rss := b.peak(issue(rounds + 3))
	b.row("peak memory of issue", fmt.Sprintf("%.1f MB", rss), "at most 45 MB")
	b.row("  the same measured of an empty program", fmt.Sprintf("%.1f MB", b.peak([]string{program(t, "true")})), "what is less than this is not seen")
	info, err := os.Stat(meshpki(t))
	if err != nil {
		t.Fatal(err)
	}
	b.row("size of the stripped program", fmt.Sprintf("%.1f MB", float64(info.Size())/(1<<20)), "at most 32 MB")
	b.print(rounds)
}

// bench is a scratch directory with an authority of each kind, and a table in the making.
type bench struct {
	t     *testing.T
	dir   string
	table strings.Builder
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: filepath.Join("..", "..", "bin", "bench")}
	t.Cleanup(func() { _ = os.RemoveAll(b.dir) })
	if err := errors.Join(os.RemoveAll(b.dir), os.MkdirAll(b.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	succeed(t, meshpki(t), "ca", "init", "--dir", b.file("pki"))
	succeed(t, program(t, "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", b.file("ca.key"), "-out", b.file("ca.crt"), "-days", "3650", "-subj", "/CN=CA")
	return b
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

// meshpki gives the argv of each round.
func (b *bench) meshpki(args ...string) func(int) []string {
	return func(int) []string {
		return slices.Concat([]string{meshpki(b.t)}, args, []string{"--dir", b.file("pki")})
	}
}

// openssl is the nearest thing that OpenSSL has: a new key and a certificate
// signed by a CA, in one step.
func (b *bench) openssl(i int) []string {
	name := b.file(fmt.Sprintf("payment-%d", i))
	return []string{program(b.t, "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", name + ".key", "-out", name + ".crt", "-CA", b.file("ca.crt"), "-CAkey", b.file("ca.key"), "-days", "30", "-subj", "/CN=payment"}
}

// compareStep adds the comparison with step where there is one.
func (b *bench) compareStep(issue func(int) []string) {
	step := os.Getenv("MESHPKI_STEP")
	if step == "" {
		step, _ = exec.LookPath("step")
	}
	if step == "" {
		b.row("step certificate create", "not here", "make bench-peers builds it")
		return
	}
	create := func(i int) []string {
		name := b.file(fmt.Sprintf("step-%d", i))
		return []string{step, "certificate", "create", "payment", name + ".crt", name + ".key", "--profile", "leaf",
			"--ca", b.file("ca.crt"), "--ca-key", b.file("ca.key"), "--not-after", "720h", "--no-password", "--insecure"}
	}
	later := func(i int) []string { return issue(i + 2*rounds) }
	times := b.compare(later, create)
	b.row("step certificate create", ms(median(times[1])), "")
	b.ratio("issue / step", times[0], times[1], "at most 0.5")
}

// compare runs the programs in turn, round after round, and gives the times of
// each in milliseconds. Three rounds before the first are not counted.
func (b *bench) compare(programs ...func(i int) []string) [][]float64 {
	b.t.Helper()
	const warm = 3
	times := make([][]float64, len(programs))
	for i := range warm + rounds {
		for p, argv := range programs {
			c := b.command(argv(i))
			begin := time.Now()
			out, err := c.CombinedOutput()
			took := time.Since(begin)
			if err != nil {
				b.t.Fatalf("%s: %v\n%s", strings.Join(c.Args, " "), err, out)
			}
			if i >= warm {
				times[p] = append(times[p], float64(took.Microseconds())/1000)
			}
		}
	}
	return times
}

func (b *bench) command(argv []string) *exec.Cmd {
	c := exec.CommandContext(b.t.Context(), argv[0], argv[1:]...)
	c.Env = append(neutralEnv(), "STEPPATH="+b.file("step"))
	return c
}

// peak is the most memory that a program had resident, in MB (2^20 bytes). Linux
// counts the memory of the process that started it too, so a small program shows
// the size of this test.
func (b *bench) peak(argv []string) float64 {
	b.t.Helper()
	c := b.command(argv)
	if out, err := c.CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	size := float64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	if runtime.GOOS == "darwin" {
		return size / (1 << 20)
	}
	return size / (1 << 10)
}

// row adds a line to the table: what was measured, the figure, what it should be.
func (b *bench) row(what, figure, target string) {
	fmt.Fprintf(&b.table, "%s\t%s\t%s\n", what, figure, target)
}

// ratio adds the ratio of the medians, and the median of the ratios round by round.
func (b *bench) ratio(what string, times, others []float64, target string) {
	pairs := make([]float64, len(times))
	for i := range times {
		pairs[i] = times[i] / others[i]
	}
	b.row(what, fmt.Sprintf("%.2f (pairs %.2f)", median(times)/median(others), median(pairs)), target)
}

func (b *bench) print(rounds int) {
	fmt.Printf("\nwhole processes, median of %d runs in turn, %s/%s\n\n", rounds, runtime.GOOS, runtime.GOARCH)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "measured\tfigure\ttarget\n%s\n", b.table.String())
	if err := w.Flush(); err != nil {
		b.t.Fatal(err)
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func ms(t float64) string { return fmt.Sprintf("%.1f ms", t) }
