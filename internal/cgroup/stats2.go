package cgroup

import (
	"bytes"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// stats2 writes io.containerd.cgroups.v2.Metrics. Which controllers are on is not asked: what has no file is 0.
func (c *Cgroup) stats2(e *encoder, r *reader) {
	e.message(1, []uint64{1: r.value("pids.current", math.MaxUint64), 2: r.value("pids.max", math.MaxUint64)})
	cpu2(e, r)
	memory2(e, r)
	start := e.begin(5)
	rdmaStats(e, r)
	e.end(start)
	io2(e, r)
	for _, size := range c.huge {
		hugetlb2(e, r, size)
	}
	events2(e, r)
}

func cpu2(e *encoder, r *reader) {
	start := e.begin(2)
	defer func() { e.end(start) }()
	data, err := r.read("cpu.stat")
	if err != nil {
		return
	}
	var values [10]uint64
	pairs(data, func(key []byte, v uint64) {
		switch string(key) {
		case "usage_usec":
			values[1] = v
		case "user_usec":
			values[2] = v
		case "system_usec":
			values[3] = v
		case "nr_periods":
			values[4] = v
		case "nr_throttled":
			values[5] = v
		case "throttled_usec":
			values[6] = v
		case "nr_bursts":
			values[8] = v
		case "burst_usec":
			values[9] = v
		}
	})
	e.uints(values[:])
	pressure(e, r, 7, "cpu.pressure")
}

func memory2(e *encoder, r *reader) {
	start := e.begin(4)
	defer func() { e.end(start) }()
	data, err := r.read("memory.stat")
	if err != nil {
		return
	}
	var values [38]uint64
	pairs(data, func(key []byte, v uint64) { values[memoryField2(key)] = v })
	values[0] = 0 // keys that have no field
	values[32] = r.value("memory.current", math.MaxUint64)
	values[33] = r.value("memory.max", math.MaxUint64)
	values[34] = r.value("memory.swap.current", math.MaxUint64)
	values[35] = r.value("memory.swap.max", math.MaxUint64)
	values[36] = r.value("memory.peak", math.MaxUint64)
	values[37] = r.value("memory.swap.peak", math.MaxUint64)
	e.uints(values[:])
	pressure(e, r, 38, "memory.pressure")
}

// memoryField2 is the field of MemoryStat that a key of memory.stat belongs to, or 0.
func memoryField2(key []byte) int {
	switch string(key) {
	case "anon":
		return 1
	case "file":
		return 2
	case "kernel_stack":
		return 3
	case "slab":
		return 4
	case "sock":
		return 5
	case "shmem":
		return 6
	case "file_mapped":
		return 7
	case "file_dirty":
		return 8
	case "file_writeback":
		return 9
	case "anon_thp":
		return 10
	case "inactive_anon":
		return 11
	case "active_anon":
		return 12
	case "inactive_file":
		return 13
	case "active_file":
		return 14
	case "unevictable":
		return 15
	}
	return memoryFlow2(key)
}

// memoryFlow2 are the fields that count events.
func memoryFlow2(key []byte) int {
	switch string(key) {
	case "slab_reclaimable":
		return 16
	case "slab_unreclaimable":
		return 17
	case "pgfault":
		return 18
	case "pgmajfault":
		return 19
	case "workingset_refault":
		return 20
	case "workingset_activate":
		return 21
	case "workingset_nodereclaim":
		return 22
	case "pgrefill":
		return 23
	case "pgscan":
		return 24
	case "pgsteal":
		return 25
	case "pgactivate":
		return 26
	case "pgdeactivate":
		return 27
	case "pglazyfree":
		return 28
	case "pglazyfreed":
		return 29
	case "thp_fault_alloc":
		return 30
	case "thp_collapse_alloc":
		return 31
	}
	return 0
}

// io2 writes an entry for each line "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0".
func io2(e *encoder, r *reader) {
	start := e.begin(6)
	data, _ := r.read("io.stat")
	for line := range bytes.Lines(data) {
		device, rest, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		major, minor, isDevice := bytes.Cut(device, []byte(":"))
		if !ok || !isDevice {
			continue
		}
		values := [7]uint64{1: number(major), 2: number(minor)}
		for field := range bytes.FieldsSeq(rest) {
			key, value, _ := bytes.Cut(field, []byte("="))
			switch string(key) {
			case "rbytes":
				values[3] = number(value)
			case "wbytes":
				values[4] = number(value)
			case "rios":
				values[5] = number(value)
			case "wios":
				values[6] = number(value)
			}
		}
		e.message(1, values[:])
	}
	pressure(e, r, 2, "io.pressure")
	e.end(start)
}

func hugetlb2(e *encoder, r *reader, size string) {
	name := "hugetlb." + size
	start := e.begin(7)
	e.uint(1, r.value(name+".current", math.MaxUint64))
	e.uint(2, r.value(name+".max", math.MaxUint64))
	e.text(3, "", size)
	data, _ := r.read(name + ".events")
	pairs(data, func(key []byte, v uint64) {
		if string(key) == "max" {
			e.uint(4, v)
		}
	})
	e.end(start)
}

func events2(e *encoder, r *reader) {
	data, err := r.read("memory.events")
	if err != nil || len(data) == 0 {
		return
	}
	var values [7]uint64
	pairs(data, func(key []byte, v uint64) {
		switch string(key) {
		case "low":
			values[1] = v
		case "high":
			values[2] = v
		case "max":
			values[3] = v
		case "oom":
			values[4] = v
		case "oom_kill":
			values[5] = v
		case "oom_group_kill":
			values[6] = v
		}
	})
	e.message(8, values[:])
}

// pressure writes PSIStats from lines "some avg10=0.00 avg60=0.12 avg300=1.50 total=123". A kernel without PSI has no such file, or refuses to read it.
func pressure(e *encoder, r *reader, field protowire.Number, name string) {
	data, err := r.read(name)
	if err != nil {
		return
	}
	start := e.begin(field)
	for line := range bytes.Lines(data) {
		kind, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(kind) {
		case "some":
			pressureLine(e, 1, rest)
		case "full":
			pressureLine(e, 2, rest)
		}
	}
	e.end(start)
}

func pressureLine(e *encoder, field protowire.Number, rest []byte) {
	start := e.begin(field)
	for f := range bytes.FieldsSeq(rest) {
		key, value, _ := bytes.Cut(f, []byte("="))
		switch string(key) {
		case "avg10":
			e.double(1, decimal(value))
		case "avg60":
			e.double(2, decimal(value))
		case "avg300":
			e.double(3, decimal(value))
		case "total":
			e.uint(4, number(value))
		}
	}
	e.end(start)
}

func decimal(text []byte) float64 {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0
	}
	return v
}
