package proc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/states.md anew from the table")

const statesDoc = "../docs/states.md"

// cell is one cell of docs/states.md in words.
func (r rule) cell() string {
	switch r.answer {
	case pass:
		return "ok"
	case move:
		return fmt.Sprintf("%s, then %s", r.via, r.to)
	case wait:
		return "waits its turn"
	case gone:
		return "NotFound"
	}
	return "refused"
}

func statesTable() string {
	var b strings.Builder
	b.WriteString(`# States

Printed from the table in proc/state.go by ` + "`go test ./proc -run TestStatesDocIsTheTable -update`" + `; do not edit.

A cell tells what a verb meets in a state: "ok" (allowed, the state stays), "A, then B" (the state is A while the verb works, B when it has
succeeded, and what it was before when it has failed), "waits its turn" (another verb is at work; the table is asked again when it is done),
"refused" (FailedPrecondition), "NotFound". State, Wait, Stats, CloseIO, ResizePty and Connect are answered in every state.

`)
	b.WriteString("| state | on the wire |")
	for v := range numVerbs {
		fmt.Fprintf(&b, " %s |", v)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", int(numVerbs)) + "\n")
	wire := []string{"UNKNOWN", "CREATED", "RUNNING", "STOPPED", "PAUSED", "PAUSING"}
	for s := range numStates {
		fmt.Fprintf(&b, "| %s | %s |", s, wire[statuses[s]])
		for v := range numVerbs {
			fmt.Fprintf(&b, " %s |", table[s][v].cell())
		}
		b.WriteByte('\n')
	}
	b.WriteString(`
An exit is recorded in any state. In a state that nothing is at work in, it is announced and the state becomes stopped; in one in flight
(creating, starting, pausing, resuming, deleting) whoever leaves that state announces it, so that a start is told before the exit it led to.
An exec is never paused; it reports the task's paused and pausing. The start of an exec is refused once init is reaped, whatever its own state.
`)
	return b.String()
}

// docs/states.md is what the table says.
func TestStatesDocIsTheTable(t *testing.T) {
	want := statesTable()
	if *update {
		if err := os.WriteFile(statesDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(statesDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says: run go test ./proc -run TestStatesDocIsTheTable -update", statesDoc)
	}
}

func processIn(s State) *process {
	t := &Task{id: "task", execs: map[string]*process{}}
	t.init = newProcess(t, "", Stdio{}, s)
	return t.init
}

// Every verb meets in every state what the table says, and the flight it begins ends where the table says.
func TestEveryVerbInEveryState(t *testing.T) {
	for s := range numStates {
		for v := range numVerbs {
			t.Run(fmt.Sprintf("%s/%s", s, v), func(t *testing.T) { visit(t, s, v) })
		}
	}
}

func visit(t *testing.T, s State, v Verb) {
	r := table[s][v]
	p := processIn(s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if r.answer == wait {
		cancel()
	}
	from, err := p.check(ctx, v)
	if from != s {
		t.Errorf("check says that the state was %s", from)
	}
	var want error
	at := s
	switch r.answer {
	case refuse:
		want = ErrPrecondition
	case gone:
		want = ErrNotFound
	case wait:
		want = context.Canceled
	case move:
		at = r.via
	}
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if p.state != at {
		t.Errorf("state %s, want %s", p.state, at)
	}
	if r.answer != move {
		return
	}
	p.land(v, from, nil, nil)
	if p.state != r.to {
		t.Errorf("after success: state %s, want %s", p.state, r.to)
	}
	p = processIn(s)
	if _, err := p.check(ctx, v); err != nil {
		t.Fatal(err)
	}
	p.land(v, from, errors.New("failed"), nil)
	if p.state != s {
		t.Errorf("after failure: state %s, want %s", p.state, s)
	}
}

// A verb that waits its turn gets it when the one before it is done, and finds the state that one left.
func TestAVerbWaitsItsTurn(t *testing.T) {
	p := processIn(Created)
	from, err := p.check(t.Context(), VerbStart)
	if err != nil {
		t.Fatal(err)
	}
	paused := make(chan error)
	go func() {
		_, err := p.check(context.Background(), VerbPause)
		paused <- err
	}()
	p.land(VerbStart, from, nil, nil)
	if err := <-paused; err != nil {
		t.Fatal(err)
	}
	if p.state != Pausing {
		t.Errorf("state %s, want pausing", p.state)
	}
}

// Whatever is in flight is left by a verb of the table: no state is a dead end but the last.
func TestNoStateIsADeadEnd(t *testing.T) {
	for s := range numStates {
		for v := range numVerbs {
			r := table[s][v]
			if r.answer == move && (!r.via.inFlight() || r.to.inFlight()) {
				t.Errorf("%s in %s: via %s to %s", v, s, r.via, r.to)
			}
			if r.answer == wait && !s.inFlight() {
				t.Errorf("%s waits in %s, where nothing is in flight", v, s)
			}
		}
	}
}
