package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// report prints the table and writes it, the samples and the plot into the output directory.
func (l *lab) report() error {
	for _, c := range l.contenders {
		info, err := os.Stat(c.binary)
		if err != nil {
			return err
		}
		l.add("binary", c.name, float64(info.Size())/1e6)
	}
	text := l.table()
	if n := l.noise(); n > noiseMax && !l.force {
		return fmt.Errorf("the machine is too noisy to compare: raw runc's own create spreads by %.0f %% of its median (limit %.0f %%); -force prints all the same", 100*n, 100*noiseMax)
	}
	fmt.Print(text)
	if err := os.MkdirAll(l.out, 0o755); err != nil {
		return err
	}
	samples, err := json.MarshalIndent(map[string]any{"machine": machine(), "contenders": l.names, "samples": l.samples}, "", " ")
	if err != nil {
		return err
	}
	files := map[string]string{"results.json": string(samples), "BENCH.md": l.markdown(text), "bench.svg": l.plot()}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(l.out, name), []byte(data), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// table is a row a figure: medians, the bound and whether it is met.
func (l *lab) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-38s", "figure (median)")
	for _, name := range l.names {
		fmt.Fprintf(&b, "%12s", name)
	}
	fmt.Fprintf(&b, "%14s\n", "bound")
	listed := map[string]bool{}
	for _, t := range targets {
		listed[t.figure] = true
		if l.samples[t.figure] == nil {
			continue
		}
		l.row(&b, t.figure, t.unit)
		sign, verdict := "<=", "met"
		if t.least > 0 {
			sign = ">="
		}
		switch {
		case math.IsNaN(t.bound(&l.results)):
			verdict = "?"
		case !t.met(&l.results):
			verdict = "NOT MET"
		}
		fmt.Fprintf(&b, "%5s %-8s %s\n", sign, number(t.bound(&l.results)), verdict)
	}
	for _, figure := range l.order {
		if !listed[figure] {
			l.row(&b, figure, "")
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "noise of the machine: %.0f %% (spread of raw runc's create between its quartiles)\n", 100*l.noise())
	return b.String()
}

func (l *lab) row(b *strings.Builder, figure, unit string) {
	name := figure
	if unit != "" {
		name += " [" + unit + "]"
	}
	fmt.Fprintf(b, "%-38s", name)
	for _, c := range l.names {
		fmt.Fprintf(b, "%12s", number(l.median(figure, c)))
	}
}

func number(v float64) string {
	switch {
	case math.IsNaN(v), math.IsInf(v, 0):
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func (l *lab) markdown(table string) string {
	return fmt.Sprintf("# The last run of `make bench`\n\n%s, %s. Medians; ratios are what counts, absolute figures are this machine's.\n\n```\n%s```\n",
		time.Now().Format(time.DateOnly), machine(), table)
}

func machine() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%d x %s, Linux %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(release)), runtime.Version())
}
