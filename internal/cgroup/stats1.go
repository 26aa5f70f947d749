package cgroup

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// tick is the unit of cpuacct.stat: the kernel's USER_HZ is 100 on every architecture that Go runs on.
const tick = time.Second / 100

// stats1 writes io.containerd.cgroups.v1.Metrics. It is false if no hierarchy has the cgroup any more.
func (c *Cgroup) stats1(e *encoder, r *reader) bool {
	found := false
	in := func(ctrl controller) bool {
		dir := c.dirs[ctrl]
		ok := dir != "" && r.cd(dir) == nil
		found = found || ok
		return ok
	}
	if in(hugetlb) {
		c.hugetlb1(e, r)
	}
	if in(pids) {
		e.message(2, []uint64{1: r.value("pids.current", 0), 2: r.value("pids.max", 0)})
	}
	cpu1(e, r, in)
	if in(memory) {
		memory1(e, r)
		oomControl1(e, r) // field 9: the order of fields is free, and the files are in one directory
	}
	if in(blkio) {
		start := e.begin(5)
		c.blkio1(e, r)
		e.end(start)
	}
	if in(rdma) {
		start := e.begin(6)
		rdmaStats(e, r)
		e.end(start)
	}
	return found
}

func (c *Cgroup) hugetlb1(e *encoder, r *reader) {
	for _, size := range c.huge {
		name := "hugetlb." + size
		if _, err := r.read(name + ".usage_in_bytes"); err != nil {
			continue
		}
		start := e.begin(1)
		e.uint(1, r.value(name+".usage_in_bytes", 0))
		e.uint(2, r.value(name+".max_usage_in_bytes", 0))
		e.uint(3, r.value(name+".failcnt", 0))
		e.text(4, "", size)
		e.end(start)
	}
}

// cpu1 writes CPUStat, which is there even when neither of its controllers is.
func cpu1(e *encoder, r *reader, in func(controller) bool) {
	start := e.begin(3)
	usage := e.begin(1)
	if in(cpuacct) {
		cpuacct1(e, r)
	}
	e.end(usage)
	var throttling [4]uint64
	if in(cpu) {
		data, _ := r.read("cpu.stat")
		pairs(data, func(key []byte, v uint64) {
			switch string(key) {
			case "nr_periods":
				throttling[1] = v
			case "nr_throttled":
				throttling[2] = v
			case "throttled_time":
				throttling[3] = v
			}
		})
	}
	e.message(2, throttling[:])
	e.end(start)
}

func cpuacct1(e *encoder, r *reader) {
	e.uint(1, r.value("cpuacct.usage", 0))
	var user, kernel uint64
	data, _ := r.read("cpuacct.stat")
	pairs(data, func(key []byte, v uint64) {
		switch string(key) {
		case "user":
			user = v * uint64(tick)
		case "system":
			kernel = v * uint64(tick)
		}
	})
	e.uint(2, kernel)
	e.uint(3, user)
	data, err := r.read("cpuacct.usage_percpu")
	if err != nil {
		return
	}
	start := e.begin(4)
	for field := range bytes.FieldsSeq(data) {
		e.out = protowire.AppendVarint(e.out, number(field))
	}
	e.end(start)
}

func memory1(e *encoder, r *reader) {
	data, err := r.read("memory.stat")
	if err != nil {
		return
	}
	var values [33]uint64
	pairs(data, func(key []byte, v uint64) { values[memoryField1(key)] = v })
	values[0] = 0 // keys that have no field
	start := e.begin(4)
	e.uints(values[:])
	memoryEntry1(e, r, 33, "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt", "memory.limit_in_bytes")
	memoryEntry1(e, r, 34, "memory.memsw.usage_in_bytes", "memory.memsw.max_usage_in_bytes", "memory.memsw.failcnt", "memory.memsw.limit_in_bytes")
	memoryEntry1(e, r, 35, "memory.kmem.usage_in_bytes", "memory.kmem.max_usage_in_bytes", "memory.kmem.failcnt", "memory.kmem.limit_in_bytes")
	memoryEntry1(e, r, 36, "memory.kmem.tcp.usage_in_bytes", "memory.kmem.tcp.max_usage_in_bytes", "memory.kmem.tcp.failcnt", "memory.kmem.tcp.limit_in_bytes")
	e.end(start)
}

func memoryEntry1(e *encoder, r *reader, field protowire.Number, usage, peak, failcnt, limit string) {
	e.message(field, []uint64{1: r.value(limit, 0), 2: r.value(usage, 0), 3: r.value(peak, 0), 4: r.value(failcnt, 0)})
}

// memoryField1 is the field of MemoryStat that a key of memory.stat belongs to, or 0.
func memoryField1(key []byte) int {
	switch string(key) {
	case "hierarchical_memory_limit":
		return 16
	case "hierarchical_memsw_limit":
		return 17
	}
	const total = 17 // the totals follow in the same order
	if plain, ok := bytes.CutPrefix(key, []byte("total_")); ok {
		if field := memoryLocal1(plain); field != 0 {
			return total + field
		}
		return 0
	}
	return memoryLocal1(key)
}

func memoryLocal1(key []byte) int {
	switch string(key) {
	case "cache":
		return 1
	case "rss":
		return 2
	case "rss_huge":
		return 3
	case "mapped_file":
		return 4
	case "dirty":
		return 5
	case "writeback":
		return 6
	case "pgpgin":
		return 7
	case "pgpgout":
		return 8
	case "pgfault":
		return 9
	case "pgmajfault":
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
	return 0
}

func oomControl1(e *encoder, r *reader) {
	data, err := r.read("memory.oom_control")
	if err != nil {
		return
	}
	var values [4]uint64
	pairs(data, func(key []byte, v uint64) {
		switch string(key) {
		case "oom_kill_disable":
			values[1] = v
		case "under_oom":
			values[2] = v
		case "oom_kill":
			values[3] = v
		}
	})
	e.message(9, values[:])
}
