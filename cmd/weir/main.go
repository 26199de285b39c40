// Weir serves integration flows that are written in YAML.
//
// The command is one file for each of its commands; catalog.go lists what flow
// files can be written with.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the names of time zones mean the same on every machine, and in an empty container
)

func main() {
	limitMemory(os.LookupEnv, "/sys/fs/cgroup", "/proc/self/cgroup")
	p := &process{
		args:     os.Args[1:],
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		env:      os.LookupEnv,
		terminal: isTerminal,
		notify:   notify,
		tune: func() {
			tuneCollector(os.LookupEnv)
			go releasePages()
		},
	}
	os.Exit(p.run(context.Background()))
}

func notify() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 2) // the second may come while the first is looked at
	signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}
