//go:build !linux

package main

import (
	"errors"
	"os/exec"
)

var errNotHere = errors.New("not on this platform")

func onTerminal(*exec.Cmd, uint16) ([]byte, error) { return nil, errNotHere }

func canBeOther() bool { return false }

func unprivileged(*exec.Cmd, string) error { return errNotHere }

func mountSmall(string, string) (func(), error) { return nil, errNotHere }
