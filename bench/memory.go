package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// settle is how long a shim is left alone before its memory is looked at: what it gives back it gives back soon.
const settle = 10 * time.Second

// usage is what a process costs, in MB (10^6 bytes would differ from the kernel's kB: here 1 MB is 1,024 kB).
type usage struct {
	uss, pss, rss float64
	threads       float64
}

func usageOf(pid int) (usage, error) {
	var u usage
	dir := "/proc/" + strconv.Itoa(pid)
	f, err := os.Open(dir + "/smaps_rollup")
	if err != nil {
		return u, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "Rss:":
			u.rss = kb / 1024
		case "Pss:":
			u.pss = kb / 1024
		case "Private_Clean:", "Private_Dirty:":
			u.uss += kb / 1024
		}
	}
	threads, err := filepath.Glob(dir + "/task/*")
	u.threads = float64(len(threads))
	return u, err
}

// wakeups counts how often the threads of a process have gone to sleep.
func wakeups(pid int) float64 {
	var sum float64
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, _ := strconv.ParseFloat(strings.TrimSpace(v), 64)
				sum += n
			}
		}
	}
	return sum
}

// crowd brings up n idle tasks under every contender.
func (l *lab) crowd(ctx context.Context, n int) (map[string][]*box, error) {
	all := map[string][]*box{}
	for range n {
		for _, c := range l.contenders {
			b, err := l.newBox(c, false, idle...)
			if err != nil {
				return all, err
			}
			all[c.name] = append(all[c.name], b)
			if err := b.up(ctx); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

func disperse(ctx context.Context, all map[string][]*box) error {
	var first error
	for _, boxes := range all {
		for _, b := range boxes {
			if err := b.down(context.WithoutCancel(ctx)); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

func benchMemory(ctx context.Context, l *lab) (err error) {
	all, err := l.crowd(ctx, 20)
	defer func() {
		if derr := disperse(ctx, all); err == nil {
			err = derr
		}
	}()
	if err != nil {
		return err
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	if err := l.weigh(all, "20 alive"); err != nil {
		return err
	}
	if err := l.idleWakeups(ctx, all); err != nil {
		return err
	}
	return l.weighAfterExecs(ctx, all)
}

func (l *lab) weigh(all map[string][]*box, when string) error {
	for name, boxes := range all {
		for _, b := range boxes {
			u, err := usageOf(b.server.Pid)
			if err != nil {
				return err
			}
			l.add("USS, "+when, name, u.uss)
			l.add("PSS, "+when, name, u.pss)
			l.add("RSS, "+when, name, u.rss)
			l.add("threads, "+when, name, u.threads)
		}
	}
	return nil
}

func (l *lab) idleWakeups(ctx context.Context, all map[string][]*box) error {
	before := map[int]float64{}
	for _, boxes := range all {
		for _, b := range boxes {
			before[b.server.Pid] = wakeups(b.server.Pid)
		}
	}
	if err := sleep(ctx, time.Minute); err != nil {
		return err
	}
	for name, boxes := range all {
		for _, b := range boxes {
			l.add("idle wake-ups a minute", name, wakeups(b.server.Pid)-before[b.server.Pid])
		}
	}
	return nil
}

// weighAfterExecs looks at what execs leave in memory: forty at once in one shim, many in sequence in another.
func (l *lab) weighAfterExecs(ctx context.Context, all map[string][]*box) error {
	sequence := 2000
	if l.quick {
		sequence = 100
	}
	steps := []struct {
		figure string
		work   func(*box) error
	}{
		{"USS after 40 execs at once", func(b *box) error { return b.execMany(ctx, "m") }},
		{fmt.Sprintf("USS after %d execs", sequence), func(b *box) error {
			for i := range sequence {
				if err := b.execTrue(ctx, "s"+strconv.Itoa(i)); err != nil {
					return err
				}
			}
			return nil
		}},
	}
	for i, step := range steps {
		for _, boxes := range all {
			if err := step.work(boxes[i]); err != nil {
				return err
			}
		}
		if err := sleep(ctx, settle); err != nil {
			return err
		}
		for name, boxes := range all {
			u, err := usageOf(boxes[i].server.Pid)
			if err != nil {
				return err
			}
			l.add(step.figure, name, u.uss)
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
