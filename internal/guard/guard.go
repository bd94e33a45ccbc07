// Package guard starts goroutines that cannot take the program down, and waits that a
// context can end.
package guard

// Go starts f in a goroutine of its own. A panic of Go's exits 2, which here means
// that nothing was attempted; fault is told of one in f instead, on that goroutine.
func Go(fault func(any), f func()) {
	go func() {
		defer func() {
			if r := recover(); r != nil {
				fault(r)
			}
		}()
		f()
	}()
}
