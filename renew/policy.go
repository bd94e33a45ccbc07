package renew

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// DefaultPercent is the part of a certificate's lifetime after which it is due.
const DefaultPercent = 66

// DefaultJitter is by how much of their lifetime, in percent, certificates under
// care are due apart from each other.
const DefaultJitter = 4

// Policy says when a certificate is due, and when it may be renewed. The zero
// value is the default: at 66 % of its life, to the second, at any hour.
type Policy struct {
	// Percent of the real lifetime after which it is due: 1 to 99; 0 is the default.
	Percent int
	// Before, if not zero, counts from the end instead: due when less than this is left.
	Before time.Duration
	// Name is the target's, as namespace/service. Jitter goes by it: the same name
	// is due at the same part of its life each time.
	Name string
	// Jitter, in percent of the real lifetime, is how far apart names are due: each is
	// put off by its own part of it, though never past the half of what is left. 0 is none.
	Jitter int
	// Windows are the change windows in which what can wait is done; none is any time.
	Windows []Window
}

// DueAt is when a certificate of that life becomes due by the clock: counted on its
// real lifetime, whenever it was asked for, to the shortest end in its chain (Ends).
// It lies within its life, at whole seconds, jitter included.
func (p Policy) DueAt(notBefore, ends time.Time) time.Time {
	return p.dueAt(notBefore, ends, p.part())
}

func (p Policy) dueAt(notBefore, ends time.Time, part uint64) time.Time {
	life := ends.Sub(notBefore)
	if life <= 0 {
		return notBefore.UTC()
	}
	at := notBefore.Add(life / 100 * time.Duration(p.percent()))
	if p.Before > 0 {
		at = ends.Add(-p.Before)
	}
	if at.Before(notBefore) {
		at = notBefore
	}
	at = at.Add(p.putOff(part, life, ends.Sub(at)))
	if whole := at.UTC().Truncate(time.Second); !whole.Before(notBefore) {
		return whole
	}
	return at.UTC()
}

// percent keeps to 1 to 99, whatever was written.
func (p Policy) percent() int {
	if p.Percent == 0 {
		return DefaultPercent
	}
	return min(max(p.Percent, 1), 99)
}

// part is the name's own part of the jitter, of 2^64: evenly spread over names.
func (p Policy) part() uint64 {
	if p.Jitter <= 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(p.Name))
	return binary.BigEndian.Uint64(sum[:8])
}

// putOff is by how much a name is due later than others, for its part of the jitter.
func (p Policy) putOff(part uint64, life, left time.Duration) time.Duration {
	if p.Jitter <= 0 || left <= 0 {
		return 0
	}
	span := min(life/100*time.Duration(min(p.Jitter, 100)), left/2)
	by, _ := bits.Mul64(uint64(span), part)
	return time.Duration(by)
}

// byDefault tells whether nobody has said when it is to be renewed.
func (p Policy) byDefault() bool { return p.Percent == 0 && p.Before == 0 }

// within is the moment of a window in which its name is renewed: spread evenly over
// names (RFC 9773, Section 4.2), and the same for a name each time. It is not before
// the certificate's beginning; zero where no window is suggested.
func (p Policy) within(w ca.RenewalWindow, notBefore time.Time) time.Time {
	if w.IsZero() {
		return time.Time{}
	}
	sum := sha256.Sum256([]byte("renewal window " + p.Name))
	after, _ := bits.Mul64(uint64(w.End.Sub(w.Start)), binary.BigEndian.Uint64(sum[:8]))
	return latest(w.Start.Add(time.Duration(after)), notBefore).UTC().Truncate(time.Second)
}

// margin is how long before its end a certificate is renewed whatever the change
// windows say: a tenth of its life, and never the whole of the time that is left
// when it is due.
func (p Policy) margin(notBefore, due, ends time.Time) time.Duration {
	return max(0, min(ends.Sub(notBefore)/10, ends.Sub(due)/2))
}

// begun says that the renewal window has.
func (p Policy) begun() string {
	if p.Before > 0 {
		return fmt.Sprintf("less than %s of its life is left", inDays(p.Before))
	}
	return "its renewal window has begun"
}

// inDays writes whole days as such: 31d, and not 744h0m0s.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// onDay writes a moment as people read it.
func onDay(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
