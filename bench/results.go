package main

import (
	"math"
	"slices"
)

const rawName = "raw runc"

// results is all samples, by figure and contender.
type results struct {
	order   []string // figures as they first came
	names   []string // raw runc first, then the contenders, our own first among them
	samples map[string]map[string][]float64
}

func newResults(o options) results {
	r := results{names: []string{rawName}, samples: map[string]map[string][]float64{}}
	for _, c := range o.contenders {
		r.names = append(r.names, c.name)
	}
	return r
}

func (r *results) add(figure, name string, v float64) {
	if r.samples[figure] == nil {
		r.samples[figure] = map[string][]float64{}
		r.order = append(r.order, figure)
	}
	r.samples[figure][name] = append(r.samples[figure][name], v)
}

// quantile of the samples of a contender, NaN when there are none.
func (r *results) quantile(figure, name string, q float64) float64 {
	s := slices.Clone(r.samples[figure][name])
	if len(s) == 0 {
		return math.NaN()
	}
	slices.Sort(s)
	at := q * float64(len(s)-1)
	lo := int(at)
	if lo+1 == len(s) {
		return s[lo]
	}
	return s[lo] + (at-float64(lo))*(s[lo+1]-s[lo])
}

func (r *results) median(figure, name string) float64 { return r.quantile(figure, name, 0.5) }

// noiseMax is the spread of raw runc's create, between its quartiles and relative to its median, above which a comparison means nothing.
const noiseMax = 0.5

// noise is the machine's: the floor does the same work in each round, so what differs is not the contenders.
func (r *results) noise() float64 {
	const figure = "create"
	return (r.quantile(figure, rawName, 0.75) - r.quantile(figure, rawName, 0.25)) / r.median(figure, rawName)
}

// target is where we must land. Each bound that is not zero counts; ok tells whether a median meets it.
type target struct {
	figure string
	unit   string
	max    float64 // absolute
	ref    float64 // at most this times the reference's
	least  float64 // at least this times the reference's (for rates)
	best   float64 // at most this times the best of the others
	over   float64 // at most raw runc's plus this
	raw    float64 // at most this times raw runc's
}

var targets = []target{
	{figure: "start", unit: "ms", ref: 0.55},
	{figure: "create", unit: "ms", over: 2},
	{figure: "start task", unit: "ms", over: 0.8},
	{figure: "delete task", unit: "ms", over: 0.5},
	{figure: "whole life", unit: "ms", raw: 1.15},
	{figure: "shim CPU of a life", unit: "ms", max: 5},
	{figure: "delete binary", unit: "ms", ref: 0.3},
	{figure: "State", unit: "ms", ref: 0.85},
	{figure: "Stats", unit: "ms", ref: 0.5},
	{figure: "Pids", unit: "ms", ref: 0.05},
	{figure: "Kill", unit: "ms", ref: 0.05},
	{figure: "Pause + Resume", unit: "ms", ref: 0.1},
	{figure: "exec", unit: "ms", over: 2},
	{figure: "40 execs at once", unit: "ms", raw: 1.25},
	{figure: "death to Wait", unit: "ms", max: 0.5},
	{figure: "death to event", unit: "ms", max: 0.5},
	{figure: "stdout, 256 KiB writes", unit: "MiB/s", least: 2.5},
	{figure: "stdout, 256 KiB writes: CPU per GiB", unit: "ms", ref: 0.15},
	{figure: "stdout, lines of 100 B", unit: "MiB/s", least: 1},
	{figure: "stdout, lines of 100 B: CPU per GiB", unit: "ms", best: 1},
	{figure: "terminal", unit: "MiB/s", least: 2},
	{figure: "terminal: CPU per GiB", unit: "ms", ref: 0.2},
	{figure: "USS, 20 alive", unit: "MB", max: 1.1},
	{figure: "PSS, 20 alive", unit: "MB", max: 1.4},
	{figure: "RSS, 20 alive", unit: "MB", max: 6.8},
	{figure: "threads, 20 alive", max: 5},
	{figure: "idle wake-ups a minute", max: 3},
	{figure: "USS after 40 execs at once", unit: "MB", max: 1.6},
	{figure: "USS after 2000 execs", unit: "MB", max: 1.6},
	{figure: "PSS, 300 alive of each", unit: "MB", max: 1.15},
	{figure: "bring-up, 300 alive", unit: "ms", best: 1},
	{figure: "bring-up, 300 alive: p95", unit: "ms", best: 1},
	{figure: "exec, 300 alive", unit: "ms", best: 1},
	{figure: "exec, 300 alive: p95", unit: "ms", best: 1},
	{figure: "binary", unit: "MB", max: 6},
}

// bound is the largest value (the least, for a rate) that meets the target; NaN when what it is measured against is not there.
func (t target) bound(r *results) float64 {
	ours, ref := r.names[1], ""
	others := r.names[2:]
	if len(others) > 0 {
		ref = others[0]
	}
	switch {
	case t.max > 0:
		return t.max
	case t.over > 0:
		return r.median(t.figure, rawName) + t.over
	case t.raw > 0:
		return t.raw * r.median(t.figure, rawName)
	case t.ref > 0:
		return t.ref * r.median(t.figure, ref)
	case t.least > 0:
		return t.least * r.median(t.figure, ref)
	case t.best > 0:
		best := math.Inf(1)
		for _, name := range others {
			best = math.Min(best, r.median(t.figure, name))
		}
		return t.best * best
	}
	return r.median(t.figure, ours)
}

// met tells whether our median is within the bound.
func (t target) met(r *results) bool {
	ours, bound := r.median(t.figure, r.names[1]), t.bound(r)
	if t.least > 0 {
		return ours >= bound
	}
	return ours <= bound
}
