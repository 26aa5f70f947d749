package cgroup

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The types of what Stats returns, as containerd registers them.
const (
	TypeV1 = "io.containerd.cgroups.v1.Metrics"
	TypeV2 = "io.containerd.cgroups.v2.Metrics"
)

// statsRoom holds the message of a container with a few disks and CPUs.
const statsRoom = 1024

// Stats reads what the kernel counts for the container and returns containerd's Metrics message for the version of the cgroup in protobuf's wire form, with
// its type's name. The schemas are containerd/cgroups v3, cgroup1/stats and cgroup2/stats; the numbers stand in them where containerd's shim puts them. What the
// kernel does not offer is left out. The error wraps fs.ErrNotExist when the cgroup is gone.
func (c *Cgroup) Stats() (typeName string, metrics []byte, err error) {
	r := &reader{}
	defer r.close()
	e := &encoder{out: make([]byte, 0, statsRoom)}
	if c.v2 {
		if err := r.cd(c.dirs[0]); err != nil {
			return "", nil, fmt.Errorf("read cgroup: %w", err)
		}
		c.stats2(e, r)
		return TypeV2, e.out, nil
	}
	if !c.stats1(e, r) {
		return "", nil, fmt.Errorf("read cgroup %s: %w", c.at(c.main()), fs.ErrNotExist)
	}
	return TypeV1, e.out, nil
}

// hugePages lists the sizes of huge pages the way the names of cgroup files have them: 64KB, 2MB, 1GB.
func (s system) hugePages() []string {
	names, err := os.ReadDir(filepath.Join(s.sys, "kernel/mm/hugepages"))
	if err != nil {
		return nil
	}
	var sizes []string
	for _, n := range names {
		text, ok := strings.CutPrefix(n.Name(), "hugepages-")
		kb, err := strconv.ParseUint(strings.TrimSuffix(text, "kB"), 10, 64)
		if !ok || err != nil {
			continue
		}
		sizes = append(sizes, pageSize(kb))
	}
	return slices.Clip(sizes)
}

func pageSize(kb uint64) string {
	switch {
	case kb >= 1<<20:
		return strconv.FormatUint(kb>>20, 10) + "GB"
	case kb >= 1<<10:
		return strconv.FormatUint(kb>>10, 10) + "MB"
	}
	return strconv.FormatUint(kb, 10) + "KB"
}
