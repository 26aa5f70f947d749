package cgroup

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// blkio1 writes BlkIOStat: the counters of the CFQ scheduler where a kernel has them, else those of throttling.
func (c *Cgroup) blkio1(e *encoder, r *reader) {
	disks := &disks{sys: c.sys}
	found := false
	if _, err := r.read("blkio.io_serviced_recursive"); err == nil {
		for field, name := range [...]string{
			1: "blkio.io_service_bytes_recursive", 2: "blkio.io_serviced_recursive", 3: "blkio.io_queued_recursive",
			4: "blkio.io_service_time_recursive", 5: "blkio.io_wait_time_recursive", 6: "blkio.io_merged_recursive",
			7: "blkio.time_recursive", 8: "blkio.sectors_recursive",
		} {
			if name != "" && blkioFile(e, r, protowire.Number(field), name, disks) {
				found = true
			}
		}
	}
	if !found {
		blkioFile(e, r, 1, "blkio.throttle.io_service_bytes", disks)
		blkioFile(e, r, 2, "blkio.throttle.io_serviced", disks)
	}
}

// blkioFile writes an entry for each line "8:0 Read 4096" or "8:0 4096", and tells whether there was one. "Total 4096" is a sum, and skipped.
func blkioFile(e *encoder, r *reader, field protowire.Number, name string, disks *disks) (found bool) {
	data, _ := r.read(name)
	for line := range bytes.Lines(data) {
		device, rest, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		major, minor, isDevice := bytes.Cut(device, []byte(":"))
		if !ok || !isDevice {
			continue
		}
		op, value, ok := bytes.Cut(rest, []byte(" "))
		if !ok {
			op, value = nil, rest
		}
		found = true
		start := e.begin(field)
		e.text(1, "", string(op))
		if disk := disks.name(major, minor); disk != "" {
			e.text(2, "/dev/", disk)
		}
		e.uint(3, number(major))
		e.uint(4, number(minor))
		e.uint(5, number(value))
		e.end(start)
	}
	return found
}

// disks knows /proc/partitions, once it is asked: most containers have no line of blkio that needs it.
type disks struct {
	sys    system
	loaded bool
	table  []byte
}

// name is what /proc/partitions calls a device in its first line for it, or "".
func (d *disks) name(major, minor []byte) string {
	if !d.loaded {
		d.loaded = true
		table, _ := slurp(d.sys.proc, "partitions")
		d.table = []byte(table)
	}
	for line := range bytes.Lines(d.table) {
		fields := bytes.Fields(line)
		if len(fields) == 4 && bytes.Equal(fields[0], major) && bytes.Equal(fields[1], minor) {
			return string(fields[3])
		}
	}
	return ""
}

// rdmaStats writes RdmaStat's two lists, which are alike in v1 and v2. They must tell of the same devices, in number at least.
func rdmaStats(e *encoder, r *reader) {
	before := len(e.out)
	current := rdmaFile(e, r, 1, "rdma.current")
	limit := rdmaFile(e, r, 2, "rdma.max")
	if current != limit {
		e.out = e.out[:before] // a device came or went between the two
	}
}

// rdmaFile writes an entry for each line "mlx4_0 hca_handle=2 hca_object=2000" and counts them.
func rdmaFile(e *encoder, r *reader, field protowire.Number, name string) (lines int) {
	data, _ := r.read(name)
	for line := range bytes.Lines(data) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			continue
		}
		lines++
		var values [4]uint64
		for _, f := range fields[1:] {
			key, value, _ := bytes.Cut(f, []byte("="))
			switch string(key) {
			case "hca_handle":
				values[2] = number32(value)
			case "hca_object":
				values[3] = number32(value)
			}
		}
		start := e.begin(field)
		e.text(1, "", string(fields[0]))
		e.uints(values[:])
		e.end(start)
	}
	return lines
}
