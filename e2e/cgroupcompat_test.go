package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup1"
	cgroup1stats "github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/containerd/cgroups/v3/cgroup2"
	cgroup2stats "github.com/containerd/cgroups/v3/cgroup2/stats"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/wisp-shim/wisp/internal/cgroup"
)

// compatSteps is how often two readings of a live cgroup are taken until nothing has moved between them.
const compatSteps = 200

// TestStatsAreContainerdsOnV1 reads one live cgroup with our reader and with containerd's, and wants the same message.
func TestStatsAreContainerdsOnV1(t *testing.T) {
	pid := compatProcess(t)
	ours, err := cgroup.Load(pid)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := cgroup1.Load(cgroup1.PidPath(pid))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, new(cgroup1stats.Metrics), func() (proto.Message, error) { return theirs.Stat(cgroup1.IgnoreNotExist) }, ours)
}

// TestStatsAreContainerdsOnV2 does so with v2: with its core files where the machine has them, and with a fixture that has all the controllers' files.
func TestStatsAreContainerdsOnV2(t *testing.T) {
	fixture := t.TempDir()
	for name, text := range compatFiles() {
		if err := os.WriteFile(filepath.Join(fixture, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dirs := []string{fixture}
	for _, mount := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		dir := filepath.Join(mount, "wisp-compat-"+strconv.Itoa(os.Getpid()))
		if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		ours, err := cgroup.Open(map[string]string{"": dir})
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := cgroup2.Load("/"+filepath.Base(dir), cgroup2.WithMountpoint(filepath.Dir(dir)))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, new(cgroup2stats.Metrics), func() (proto.Message, error) { return theirs.Stat() }, ours)
	}
}

// compare wants ours and theirs to be equal in a reading during which theirs has not moved.
func compare(t *testing.T, decoded proto.Message, stat func() (proto.Message, error), ours *cgroup.Cgroup) {
	t.Helper()
	var before, after proto.Message
	for range compatSteps {
		var err error
		if before, err = stat(); err != nil {
			t.Fatal(err)
		}
		name, value, err := ours.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if want := string(decoded.ProtoReflect().Descriptor().FullName()); name != want {
			t.Fatalf("type %s, want %s", name, want)
		}
		if err := proto.Unmarshal(value, decoded); err != nil {
			t.Fatal(err)
		}
		if unknown := decoded.ProtoReflect().GetUnknown(); len(unknown) > 0 {
			t.Fatalf("fields that containerd does not know: %x", unknown)
		}
		if after, err = stat(); err != nil {
			t.Fatal(err)
		}
		if equal(before, decoded) {
			return
		}
		if equal(before, after) {
			break
		}
	}
	t.Errorf("ours: %s\ntheirs: %s", prototext.Format(decoded), prototext.Format(before))
}

// equal is proto.Equal but for the order of page sizes, which is that of a directory in containerd's reading of v2.
func equal(a, b proto.Message) bool {
	a, b = proto.Clone(a), proto.Clone(b)
	first, second := pageSizes(a), pageSizes(b)
	return first == second && proto.Equal(a, b)
}

// pageSizes takes the huge pages out of a message, as a text without an order.
func pageSizes(m proto.Message) string {
	field := m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name("hugetlb"))
	list := m.ProtoReflect().Get(field).List()
	found := make(map[string]bool)
	for i := range list.Len() {
		text, _ := proto.MarshalOptions{Deterministic: true}.Marshal(list.Get(i).Message().Interface())
		found[string(text)] = true
	}
	m.ProtoReflect().Clear(field)
	return fmt.Sprint(found)
}

// compatProcess starts a process in a cgroup of its own in every hierarchy of v1, lets it use memory, time and the disk, and stops it.
func compatProcess(t *testing.T) int {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes cgroups")
	}
	cmd := exec.Command("sh", "-c", `read go; dd if=/dev/zero of="$1" bs=64k count=64 conv=fsync 2>/dev/null; i=0; `+
		`while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exec sleep 1000`, "sh", filepath.Join(t.TempDir(), "data"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dirs []string
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		}
	})
	mounts, err := filepath.Glob("/sys/fs/cgroup/*/tasks") // v2 has no such file
	if err != nil || len(mounts) == 0 {
		t.Skip("needs cgroup v1")
	}
	for _, tasks := range mounts {
		dir := filepath.Join(filepath.Dir(tasks), "wisp-compat-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
		if strings.Contains(dir, "/cpuset/") {
			continue // it takes nobody until it is told its CPUs
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// compatFiles are those of a v2 cgroup with every controller, as Linux 6.1 writes them.
func compatFiles() map[string]string {
	files := map[string]string{
		"cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma\n", "cgroup.procs": "",
		"pids.current": "3\n", "pids.max": "max\n",
		"cpu.stat":       "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\nnr_bursts 1\nburst_usec 8\n",
		"cpu.pressure":   "some avg10=1.53 avg60=0.29 avg300=0.07 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.01 total=98\n",
		"memory.current": "300\n", "memory.max": "max\n", "memory.peak": "400\n",
		"memory.swap.current": "1\n", "memory.swap.max": "500\n", "memory.swap.peak": "2\n",
		"memory.pressure": "some avg10=0.00 avg60=12.34 avg300=0.00 total=0\nfull avg10=100.00 avg60=0.00 avg300=0.00 total=18446744073709551615\n",
		"memory.events":   "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n",
		"io.stat":         "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0\n254:0 rbytes=9 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
		"io.pressure":     "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
		"rdma.current":    "mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=0\n",
		"rdma.max":        "mlx4_0 hca_handle=max hca_object=max\nocrdma1 hca_handle=max hca_object=5\n",
	}
	keys := strings.Fields(`anon file kernel kernel_stack pagetables sec_pagetables percpu sock vmalloc shmem zswap zswapped file_mapped file_dirty file_writeback
		swapcached anon_thp file_thp shmem_thp inactive_anon active_anon inactive_file active_file unevictable slab_reclaimable slab_unreclaimable slab
		workingset_refault_anon workingset_refault_file workingset_activate_anon workingset_nodereclaim workingset_refault workingset_activate pgscan pgsteal
		pgfault pgmajfault pgrefill pgactivate pgdeactivate pglazyfree pglazyfreed thp_fault_alloc thp_collapse_alloc`)
	for i, key := range keys {
		files["memory.stat"] += fmt.Sprintf("%s %d\n", key, 1000+i)
	}
	for i, size := range []string{"2MB", "1GB"} {
		files["hugetlb."+size+".current"] = strconv.Itoa(i<<21) + "\n"
		files["hugetlb."+size+".max"] = "max\n"
		files["hugetlb."+size+".events"] = "max 3\n"
	}
	return files
}
