package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cores are the two that are used: one for the server under test, one for everything else.
type cores struct{ server, others int }

// pin confines this process to one core and says which core is left for the server under test.
func pin() (cores, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return cores{}, fmt.Errorf("read the core affinity: %w", err)
	}
	var found []int
	for i := 0; i < len(set)*64 && len(found) < 2; i++ {
		if set.IsSet(i) {
			found = append(found, i)
		}
	}
	if len(found) < 2 {
		return cores{}, fmt.Errorf("two cores are needed, one for the server and one for the load; this process may use %d", len(found))
	}
	c := cores{server: found[0], others: found[1]}
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return cores{}, err
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			return cores{}, err
		}
		if err := unix.SchedSetaffinity(id, cpuSet(c.others)); err != nil && err != unix.ESRCH {
			return cores{}, fmt.Errorf("set the core affinity: %w", err)
		}
	}
	runtime.GOMAXPROCS(1)
	return c, nil
}

func cpuSet(list ...int) *unix.CPUSet {
	var set unix.CPUSet
	for _, i := range list {
		set.Set(i)
	}
	return &set
}

// startOn starts cmd on the given cores: a child inherits the affinity of the thread that forks it.
// The child is killed should this process die.
func startOn(cmd *exec.Cmd, c cores, where placement) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set := cpuSet(c.others)
	switch where {
	case serverCore:
		set = cpuSet(c.server)
	case anyCore:
		set = cpuSet(c.server, c.others)
	}
	if err := unix.SchedSetaffinity(0, set); err != nil {
		return fmt.Errorf("set the core affinity: %w", err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	if back := unix.SchedSetaffinity(0, cpuSet(c.others)); err == nil {
		err = back
	}
	return err
}

// cpuTime is the user and system time of all threads of a process, to the nanosecond, from its CPU clock
// (clock_getcpuclockid(3): the complement of the pid above three bits that say "process" and "scheduled").
func cpuTime(pid int) (time.Duration, error) {
	const scheduled = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &ts); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// memory is the resident set of a process in bytes, now and at its highest.
func memory(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		var into *int64
		switch name {
		case "VmRSS":
			into = &now
		case "VmHWM":
			into = &peak
		default:
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s of process %d: %w", name, pid, err)
		}
		*into = kb << 10
	}
	return now, peak, nil
}
