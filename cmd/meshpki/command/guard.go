package command

// guard starts a goroutine that cannot take the program down: a panic of Go exits
// 2, which here means that nothing was attempted. fault is told of it instead.
// Every goroutine of ours starts here.
func guard(fault func(any), f func()) {
	go func() {
		defer func() {
			if r := recover(); r != nil {
				fault(r)
			}
		}()
		f()
	}()
}
