package renew

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// OutputLimit is how much of what a step says is kept: its beginning and its end.
const OutputLimit = 64 << 10

// output keeps the beginning and the end of what is written to it, and counts what
// lay between. It may be read while it is written to.
type output struct {
	mu         sync.Mutex
	head, tail []byte
	lost       int64
}

// Half of the limit each; the note between them is taken off the end.
const (
	outputNote = 64
	outputHead = OutputLimit / 2
	outputTail = OutputLimit/2 - outputNote
)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	if room := outputHead - len(o.head); room > 0 {
		k := min(room, len(p))
		o.head = append(o.head, p[:k]...)
		p = p[k:]
	}
	o.tail = append(o.tail, p...)
	// Cut only now and then, so that much small output is not copied for each piece.
	if len(o.tail) > 2*outputTail {
		o.cut()
	}
	return n, nil
}

func (o *output) cut() {
	if more := len(o.tail) - outputTail; more > 0 {
		o.lost += int64(more)
		o.tail = append(o.tail[:0], o.tail[more:]...)
	}
}

// bytes is what was kept, at most OutputLimit of it.
func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cut()
	if o.lost == 0 {
		return append(bytes.Clone(o.head), o.tail...)
	}
	note := fmt.Sprintf("\n[... %d bytes left out ...]\n", o.lost)
	return append(append(bytes.Clone(o.head), note...), o.tail...)
}

// readSome reads at most OutputLimit bytes.
func readSome(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, OutputLimit))
}

// lastLine is the last line of output that says something, quoted and short; ""
// where there is none.
func lastLine(out []byte) string {
	lines := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			return quoted(line)
		}
	}
	return ""
}

// saying ends an error with the last line of the output, where there is one.
func saying(err error, out []byte) error {
	if line := lastLine(out); line != "" {
		return fmt.Errorf("%w; it said %s", err, line)
	}
	return err
}

// quoted is a text from outside as an error has it: short, on one line, escaped.
func quoted(s string) string {
	const most = 200
	if len(s) > most {
		end := most
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return fmt.Sprintf("%q", s)
}
