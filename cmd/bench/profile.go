package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// sample has perf(1) sample what a server does, the kernel on its behalf included, until stop is called. The samples
// are in a file of dir named for the job and the server.
func sample(dir string, c *contender) (stop func() error, err error) {
	name := strings.NewReplacer(" ", "-", ",", "").Replace(c.Job + "-" + c.Target)
	cmd := exec.Command("perf", "record", "-q", "-g", "-F", "4999", "-o", filepath.Join(dir, name+".perf"), "-p", strconv.Itoa(c.cmd.Process.Pid))
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("-profile needs perf: %w", err)
	}
	return func() error {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			return err
		}
		var ended *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &ended) { // it ends by the signal
			return err
		}
		return nil
	}, nil
}
