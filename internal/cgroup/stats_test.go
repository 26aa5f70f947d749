package cgroup

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// flat decodes a message into lines "4.33.1=5": the numbers of the fields down to the value, messages being those at the paths given.
func flat(t *testing.T, data []byte, prefix string, messages []string) (lines []string) {
	t.Helper()
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			t.Fatalf("tag at %q: %v", prefix, protowire.ParseError(n))
		}
		data = data[n:]
		name := prefix + strconv.Itoa(int(number))
		switch kind {
		case protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(data)
			lines = append(lines, fmt.Sprintf("%s=%d", name, v))
		case protowire.Fixed64Type:
			var v uint64
			v, n = protowire.ConsumeFixed64(data)
			lines = append(lines, fmt.Sprintf("%s=%g", name, math.Float64frombits(v)))
		case protowire.BytesType:
			var v []byte
			v, n = protowire.ConsumeBytes(data)
			if n >= 0 && slices.Contains(messages, name) {
				lines = append(append(lines, name+"{"), flat(t, v, name+".", messages)...)
			} else {
				lines = append(lines, fmt.Sprintf("%s=%q", name, v))
			}
		default:
			t.Fatalf("field %s has type %d", name, kind)
		}
		if n < 0 {
			t.Fatalf("field %s: %v", name, protowire.ParseError(n))
		}
		data = data[n:]
	}
	return lines
}

func checkStats(t *testing.T, c *Cgroup, wantType string, messages []string, want string) {
	t.Helper()
	name, data, err := c.Stats()
	if err != nil || name != wantType {
		t.Fatalf("type %s, %v", name, err)
	}
	if got := strings.Join(flat(t, data, "", messages), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStatsOfV2(t *testing.T) {
	s := system{cgroups: t.TempDir(), proc: t.TempDir(), sys: t.TempDir()}
	dir := filepath.Join(s.cgroups, "task")
	for name, text := range map[string]string{
		"pids.current": "3\n", "pids.max": "max\n",
		"cpu.stat":       "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnice_usec 9\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\nnr_bursts 1\nburst_usec 8\n",
		"cpu.pressure":   "some avg10=1.50 avg60=0.25 avg300=0.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.01 total=98\n",
		"memory.stat":    "anon 100\nfile 200\nkernel 7\nthp_collapse_alloc 31\nworkingset_refault_anon 5\n",
		"memory.current": "300\n", "memory.max": "max\n", "memory.peak": "400\n", "memory.swap.current": "0\n", "memory.swap.max": "500\n",
		"memory.events": "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n",
		"io.stat":       "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0\n254:0 rbytes=9 wbytes=0 rios=1 wios=0\n",
		"rdma.current":  "mlx4_0 hca_handle=2 hca_object=2000\n", "rdma.max": "mlx4_0 hca_handle=max hca_object=max\n",
		"hugetlb.2MB.current": "2097152\n", "hugetlb.2MB.max": "max\n", "hugetlb.2MB.events": "max 3\n",
	} {
		write(t, dir, name, text)
	}
	write(t, s.proc, "7/cgroup", "0::/task\n")
	for _, size := range []string{"hugepages-2048kB", "hugepages-1048576kB", "hugepages-64kB"} {
		write(t, s.sys, "kernel/mm/hugepages/"+size+"/x", "")
	}
	const unlimited = "18446744073709551615"
	checkStats(t, load(t, s, 7, true), "io.containerd.cgroups.v2.Metrics",
		[]string{"1", "2", "2.7", "2.7.1", "2.7.2", "4", "5", "5.1", "5.2", "6", "6.1", "7", "8"},
		`1{ 1.1=3 1.2=`+unlimited+
			` 2{ 2.1=10 2.2=6 2.3=4 2.4=5 2.5=2 2.6=7 2.8=1 2.9=8 2.7{ 2.7.1{ 2.7.1.1=1.5 2.7.1.2=0.25 2.7.1.4=99 2.7.2{ 2.7.2.3=0.01 2.7.2.4=98`+
			` 4{ 4.1=100 4.2=200 4.31=31 4.32=300 4.33=`+unlimited+` 4.35=500 4.36=400`+
			` 5{ 5.1{ 5.1.1="mlx4_0" 5.1.2=2 5.1.3=2000 5.2{ 5.2.1="mlx4_0" 5.2.2=4294967295 5.2.3=4294967295`+
			` 6{ 6.1{ 6.1.1=8 6.1.2=16 6.1.3=1 6.1.4=2 6.1.5=3 6.1.6=4 6.1{ 6.1.1=254 6.1.3=9 6.1.5=1`+
			` 7{ 7.3="1GB" 7{ 7.1=2097152 7.2=`+unlimited+` 7.3="2MB" 7.4=3 7{ 7.3="64KB"`+
			` 8{ 8.1=1 8.2=2 8.3=3 8.4=4 8.5=5 8.6=6`)
}

// A v2 cgroup without controllers has statistics all the same: zeros.
func TestStatsOfV2WithoutControllers(t *testing.T) {
	dir := t.TempDir()
	c := &Cgroup{v2: true}
	c.dirs[0] = dir
	checkStats(t, c, TypeV2, []string{"1", "2", "4", "5", "6"}, "1{ 2{ 4{ 5{ 6{")
}

func TestStatsOfV1(t *testing.T) {
	s := system{cgroups: t.TempDir(), proc: t.TempDir(), sys: t.TempDir()}
	for name, text := range map[string]string{
		"hugetlb/task/hugetlb.2MB.usage_in_bytes": "1\n", "hugetlb/task/hugetlb.2MB.max_usage_in_bytes": "2\n", "hugetlb/task/hugetlb.2MB.failcnt": "3\n",
		"pids/task/pids.current": "3\n", "pids/task/pids.max": "max\n",
		"cpu,cpuacct/task/cpuacct.usage": "1000\n", "cpu,cpuacct/task/cpuacct.usage_percpu": "400 600 0 \n",
		"cpu,cpuacct/task/cpuacct.stat":         "user 3\nsystem 2\n",
		"cpu,cpuacct/task/cpu.stat":             "nr_periods 5\nnr_throttled 2\nthrottled_time 7\n",
		"memory/task/memory.stat":               "cache 1\nrss 2\nshmem 9\nhierarchical_memory_limit 16\nhierarchical_memsw_limit 17\ntotal_cache 18\ntotal_shmem 9\ntotal_unevictable 32\n",
		"memory/task/memory.usage_in_bytes":     "50\n",
		"memory/task/memory.limit_in_bytes":     "9223372036854771712\n",
		"memory/task/memory.kmem.failcnt":       "4\n",
		"memory/task/memory.oom_control":        "oom_kill_disable 0\nunder_oom 1\noom_kill 2\n",
		"blkio/task/blkio.throttle.io_serviced": "254:0 Read 5\n254:0 Total 5\n9:1 Write 6\nTotal 11\n",
	} {
		write(t, s.cgroups, name, text)
	}
	write(t, s.proc, "partitions", "major minor  #blocks  name\n\n 254        0  268435456 vda\n")
	write(t, s.proc, "7/cgroup", "5:hugetlb:/task\n4:blkio:/task\n3:cpu,cpuacct:/task\n2:memory:/task\n1:pids:/task\n")
	write(t, s.sys, "kernel/mm/hugepages/hugepages-2048kB/x", "")
	write(t, s.sys, "kernel/mm/hugepages/hugepages-1048576kB/x", "")
	checkStats(t, load(t, s, 7, false), "io.containerd.cgroups.v1.Metrics",
		[]string{"1", "2", "3", "3.1", "3.2", "4", "4.33", "4.34", "4.35", "4.36", "5", "5.1", "5.2", "9"},
		`1{ 1.1=1 1.2=2 1.3=3 1.4="2MB" 2{ 2.1=3`+
			` 3{ 3.1{ 3.1.1=1000 3.1.2=20000000 3.1.3=30000000 3.1.4="\x90\x03\xd8\x04\x00" 3.2{ 3.2.1=5 3.2.2=2 3.2.3=7`+
			` 4{ 4.1=1 4.2=2 4.16=16 4.17=17 4.18=18 4.32=32 4.33{ 4.33.1=9223372036854771712 4.33.2=50 4.34{ 4.35{ 4.35.4=4 4.36{`+
			` 9{ 9.2=1 9.3=2`+
			` 5{ 5.2{ 5.2.1="Read" 5.2.2="/dev/vda" 5.2.3=254 5.2.5=5 5.2{ 5.2.1="Total" 5.2.2="/dev/vda" 5.2.3=254 5.2.5=5 5.2{ 5.2.1="Write" 5.2.3=9 5.2.4=1 5.2.5=6`)
}

func TestMessagesOfAnyLengthAreFramed(t *testing.T) {
	for _, size := range []int{0, 1, 126, 127, 128, 16_382, 16_383, 16_384, 3 << 20} {
		e := &encoder{}
		start := e.begin(1)
		inner := e.begin(2)
		e.out = append(e.out, strings.Repeat("x", size)...)
		e.end(inner)
		e.end(start)
		e.uint(3, 7)
		lines := flat(t, e.out, "", []string{"1"})
		if len(lines) != 3 || len(lines[1]) != len(`1.2=""`)+size || lines[2] != "3=7" {
			t.Errorf("size %d: %d lines", size, len(lines))
		}
	}
}

// A file with a line for each of many disks is read whole.
func TestLongFilesAreReadWhole(t *testing.T) {
	dir, text := t.TempDir(), strings.Repeat("254:0 Read 5\n", 10_000)
	write(t, dir, "long", text)
	r := &reader{}
	defer r.close()
	if err := r.cd(dir); err != nil {
		t.Fatal(err)
	}
	if data, err := r.read("long"); string(data) != text || err != nil {
		t.Errorf("%d bytes of %d, %v", len(data), len(text), err)
	}
}
