package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// onTerminal runs a program on a pseudo-terminal and gives what it wrote.
func onTerminal(cmd *exec.Cmd, columns uint16) ([]byte, error) {
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	var number, unlock int32
	size := struct{ rows, columns, x, y uint16 }{24, columns, 0, 0}
	for _, call := range []struct {
		request uintptr
		arg     unsafe.Pointer
	}{
		{syscall.TIOCGPTN, unsafe.Pointer(&number)},
		{syscall.TIOCSPTLCK, unsafe.Pointer(&unlock)},
		{syscall.TIOCSWINSZ, unsafe.Pointer(&size)},
	} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, ours.Fd(), call.request, uintptr(call.arg)); errno != 0 {
			return nil, errno
		}
	}
	theirs, err := os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	// A terminal whose other side is gone reads as an input/output error.
	var out []byte
	for buf := make([]byte, 4<<10); ; {
		n, err := ours.Read(buf)
		if out = append(out, buf[:n]...); err != nil {
			break
		}
	}
	return out, cmd.Wait()
}

const nobody = 65534

// canBeOther tells whether programs can be run as a user whom permissions bind.
func canBeOther() bool {
	if os.Geteuid() != 0 {
		return true
	}
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd.Run() == nil
}

// unprivileged makes a command run as a user whom permissions bind, to whom
// everything under work then belongs.
func unprivileged(cmd *exec.Cmd, work string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	err := filepath.WalkDir(work, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	})
	if err != nil {
		return err
	}
	// The directory above is made for one user alone.
	if err := os.Chmod(filepath.Dir(work), 0o755); err != nil {
		return err
	}
	// So is the one that the program is in: the test's own file, under that name, is
	// the same program.
	cmd.Path = "/proc/self/exe"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return nil
}

// mountSmall mounts an empty disk of that size.
func mountSmall(dir, size string) (unmount func(), err error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+size); err != nil {
		return nil, fmt.Errorf("mount a small disk: %w", err)
	}
	return func() {
		for range 50 {
			if err := syscall.Unmount(dir, 0); !errors.Is(err, syscall.EBUSY) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}, nil
}
