package shim

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/wisp-shim/wisp/proc"
	"github.com/wisp-shim/wisp/protos"
)

// stateAllocs is what reading a State request and writing its answer may allocate (17 measured): it is asked of every task, all the time.
const stateAllocs = 20

// A State call allocates little.
func TestStateAllocatesLittle(t *testing.T) {
	report := proc.Report{Bundle: "/run/b", Pid: 42, Status: proc.StatusRunning}
	request, err := proto.Marshal(&protos.StateRequest{Id: "task"})
	if err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(1000, func() {
		var r protos.StateRequest
		if err := proto.Unmarshal(request, &r); err != nil {
			t.Fatal(err)
		}
		if _, err := proto.Marshal(stateToWire(r.Id, report)); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%.0f allocations", got)
	if got > stateAllocs {
		t.Errorf("%.0f allocations a State, limit %d", got, stateAllocs)
	}
}
