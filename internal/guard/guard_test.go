package guard

import "testing"

func TestGo(t *testing.T) {
	told := make(chan any)
	Go(func(r any) { told <- r }, func() { panic("in a goroutine") })
	if r := <-told; r != "in a goroutine" {
		t.Errorf("told of %v", r)
	}
	Go(func(r any) { told <- r }, func() { told <- "done" })
	if r := <-told; r != "done" {
		t.Errorf("told of %v", r)
	}
}
