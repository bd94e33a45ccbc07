package renew

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// asHook is what the test binary does when it is run as a hook's program.
func asHook(what string, args []string) int {
	switch what {
	case "environ":
		for _, v := range os.Environ() {
			fmt.Print(v, "\x00")
		}
	case "arguments":
		for _, a := range args {
			fmt.Print(a, "\x00")
		}
	case "exit":
		fmt.Println("first")
		fmt.Fprint(os.Stderr, "the last line\x1b[31m\n\n")
		n, _ := strconv.Atoi(args[0])
		return n
	case "hang":
		fmt.Println("waiting")
		time.Sleep(time.Minute)
	case "tidy": // when it is asked to end
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		fmt.Println("working")
		<-asked
		fmt.Println("tidied up")
	case "deaf": // to being asked to end
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("not listening")
		time.Sleep(time.Minute)
	case "surroundings":
		dir, _ := os.Getwd()
		n, err := os.Stdin.Read(make([]byte, 1))
		fmt.Println(dir, n, err)
	case "open": // which files it was handed
		for fd := 3; fd < 100; fd++ {
			if target, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && !ownOfGo(target) {
				fmt.Println(fd, target)
			}
		}
	case "much":
		line := strings.Repeat("x", 999) + "\n"
		fmt.Println("the beginning")
		for range 2000 {
			fmt.Print(line)
		}
		fmt.Println("the end")
	case "leave", "family": // a child that holds the output open; "family" waits for it
		child := exec.Command(os.Args[0], "as-a-hook", args[0])
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			return 9
		}
		fmt.Println(child.Process.Pid)
		if what == "family" {
			_ = child.Wait()
		}
	case "die":
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill()
		time.Sleep(time.Minute)
	}
	return 0
}

// ownOfGo are files that a Go program opens for itself when it starts.
func ownOfGo(target string) bool {
	return strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/sys/fs/cgroup/")
}
