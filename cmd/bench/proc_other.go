//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"time"
)

var errLinux = errors.New("the benchmark needs Linux: core affinity, CPU clocks of other processes, /proc")

type cores struct{}

func pin() (cores, error) { return cores{}, errLinux }

func startOn(*exec.Cmd, cores, placement) error { return errLinux }

func cpuTime(int) (time.Duration, error) { return 0, errLinux }

func memory(int) (now, peak int64, err error) { return 0, 0, errLinux }
