package renew

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkDecide decides about fresh targets, without and with a change window.
func BenchmarkDecide(b *testing.B) {
	for name, windows := range map[string][]Window{"plain": nil, "window": {window(b, "0 2 * * 2", 3*time.Hour, "Europe/Berlin")}} {
		b.Run(name, func(b *testing.B) {
			s, p, now := good(), Policy{Name: "prod/payment", Jitter: DefaultJitter, Windows: windows}, from.Add(10*day)
			for b.Loop() {
				if d := Decide(s, p, now); d.Outcome != Fresh {
					b.Fatal(fmt.Sprint(d))
				}
			}
		})
	}
}
