package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

const (
	taskV2 = "containerd.task.v2.Task"
	taskV3 = "containerd.task.v3.Task"
)

// ttrpc's frame: length, stream, type, flags (PROTOCOL.md of ttrpc).
const (
	frameHeader   = 10
	frameRequest  = 1
	frameResponse = 2
	frameMax      = 4 << 20
)

func writeFrame(w io.Writer, stream uint32, kind byte, payload []byte) error {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	frame = binary.BigEndian.AppendUint32(frame, stream)
	_, err := w.Write(append(append(frame, kind, 0), payload...))
	return err
}

func readResponse(t *testing.T, conn net.Conn) (stream uint32, response *ttrpc.Response) {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(soonLimit)))
	header := make([]byte, frameHeader)
	_, err := io.ReadFull(conn, header)
	must(t, err)
	if header[8] != frameResponse {
		t.Fatalf("a frame of type %d", header[8])
	}
	payload := make([]byte, binary.BigEndian.Uint32(header))
	_, err = io.ReadFull(conn, payload)
	must(t, err)
	response = new(ttrpc.Response)
	must(t, proto.Unmarshal(payload, response))
	return binary.BigEndian.Uint32(header[4:]), response
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	conn, err := net.Dial("unix", r.shim.Path())
	must(r.t, err)
	return conn
}

// A frame beyond ttrpc's limit is answered as such, and the connection goes on.
func TestTooLargeAFrameIsRefusedAndTheConnectionLives(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	conn := r.dial()
	defer conn.Close()
	must(t, writeFrame(conn, 1, frameRequest, make([]byte, frameMax+1)))
	stream, response := readResponse(t, conn)
	if code := codes.Code(response.GetStatus().GetCode()); stream != 1 || code != codes.ResourceExhausted {
		t.Errorf("answer on stream %d: %v", stream, response)
	}
	payload, err := proto.Marshal(&protos.StateRequest{Id: r.config.ID})
	must(t, err)
	request, err := proto.Marshal(&ttrpc.Request{Service: taskV3, Method: "State", Payload: payload})
	must(t, err)
	must(t, writeFrame(conn, 3, frameRequest, request))
	stream, response = readResponse(t, conn)
	var state protos.StateResponse
	must(t, proto.Unmarshal(response.GetPayload(), &state))
	if stream != 3 || state.GetStatus() != protos.Status_RUNNING {
		t.Errorf("State on stream %d: %v, %v", stream, response, &state)
	}
	r.finish()
}

// Bytes that are no ttrpc, half a frame and frames out of order harm nobody but their sender.
func TestGarbageOnTheSocketHarmsNobodyElse(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	half := r.dial() // says no more than half a header, and stays
	defer half.Close()
	_, err := half.Write([]byte{0, 0, 1})
	must(t, err)
	for range 30 {
		conn := r.dial()
		must(t, conn.SetDeadline(time.Now().Add(soonLimit)))
		noise := make([]byte, 1+random.IntN(64<<10))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		switch random.IntN(3) {
		case 0:
			_, _ = conn.Write(noise) // the shim may hang up in between
		case 1:
			_ = writeFrame(conn, uint32(random.IntN(8)), frameRequest, noise)
		case 2:
			_ = writeFrame(conn, uint32(random.IntN(8)), byte(random.IntN(5)), nil)
		}
		must(t, conn.Close())
		if state := r.state(""); state.GetStatus() != protos.Status_RUNNING {
			t.Fatalf("the task is %v", state)
		}
	}
	r.finish()
}

// fuzzCalls is how many requests of each method are made.
const fuzzCalls = 40

// Empty and random requests to every method of both services are answered, and the shim and its task go on.
func TestRandomRequestsNeverKillTheShim(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t, nil, "sleep", "1000").start()
	pid := r.run()
	methods := []string{
		"State", "Create", "Start", "Delete", "Pids", "Pause", "Resume", "Checkpoint", "Kill", "Exec", "ResizePty", "CloseIO", "Update",
		"Wait", "Stats", "Connect", "Shutdown", "Nonsense",
	}
	for _, method := range methods {
		for i := range fuzzCalls {
			payload := []byte(nil)
			if i > 0 {
				payload = randomMessage(random, r.config.ID, method != "Kill" && method != "Delete")
			}
			service := []string{taskV2, taskV3, "nonsense"}[random.IntN(3)%(2+i%2)]
			ctx, cancel := context.WithTimeout(r.ctx, 100*time.Millisecond) // Wait of a live task has no answer
			request := &emptypb.Empty{}
			request.ProtoReflect().SetUnknown(payload)
			err := r.shim.Client.Call(ctx, service, method, request, &emptypb.Empty{})
			cancel()
			if launch.Code(err) == codes.Internal || errors.Is(err, ttrpc.ErrClosed) {
				t.Fatalf("%s with %x: %v", method, payload, err)
			}
		}
	}
	if strings.Contains(r.logged.String(), "panicked") {
		t.Error("a request has panicked")
	}
	if state := r.state(""); int(state.GetPid()) != pid || state.GetStatus() == protos.Status_STOPPED {
		t.Errorf("the task is %v", state)
	}
	_, _ = r.shim.Task.Resume(r.ctx, &protos.ResumeRequest{Id: r.config.ID}) // it may be paused
	r.finish()
}

// randomMessage is well formed as protobuf, with fields of random numbers and kinds, of which the first often is the task's id, or it is noise.
func randomMessage(random *rand.Rand, id string, mayName bool) []byte {
	noise := make([]byte, random.IntN(20))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	if random.IntN(5) == 0 {
		return noise
	}
	var message []byte
	if mayName && random.IntN(2) == 0 {
		message = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
	}
	for range random.IntN(6) {
		number := protowire.Number(2 + random.IntN(12))
		switch random.IntN(4) {
		case 0:
			message = protowire.AppendVarint(protowire.AppendTag(message, number, protowire.VarintType), random.Uint64()>>random.IntN(64))
		case 1:
			message = protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), nil)
		case 2:
			inner := protowire.AppendString(protowire.AppendTag(nil, 1+protowire.Number(random.IntN(3)), protowire.BytesType), "/nonexistent")
			message = protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), inner)
		case 3:
			message = protowire.AppendString(protowire.AppendTag(message, number, protowire.BytesType), fmt.Sprintf("%x", noise))
		}
	}
	return message
}

// A client that leaves in the middle of Create takes its Create with it: nothing is left, and the id is free.
func TestClientLeavesDuringCreate(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000")
	slow := r.write("slow-runc", fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *' create '*) : >%s; sleep 1;; esac\nexec %s \"$@\"\n",
		r.file("created"), binaries().runc), 0o755)
	r.options.BinaryName = slow
	r.start()
	second, err := launch.Attach(r.ctx, r.config)
	must(t, err)
	gone := make(chan error, 1)
	go func() {
		_, err := second.Task.Create(r.ctx, &protos.CreateTaskRequest{Id: r.config.ID, Bundle: r.config.Bundle, Options: pack(t, r.options)})
		gone <- err
	}()
	soon(t, "the runtime runs", func() bool { return exists(r.file("created")) })
	must(t, second.Close())
	if err := <-gone; err == nil {
		t.Error("Create of the client that left has succeeded")
	}
	// The id is taken until the undo is done, then free.
	soon(t, "Create works again", func() bool {
		_, err := r.create(nil)
		if err != nil && launch.Code(err) != codes.AlreadyExists {
			t.Fatalf("Create after it: %v", err)
		}
		return err == nil
	})
	r.finish()
}

// Clients that leave in the middle of Wait leave nothing waiting in the shim.
func TestClientLeavesDuringWait(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	for range 10 {
		client, err := launch.Attach(r.ctx, r.config)
		must(t, err)
		for range 5 {
			ctx, cancel := context.WithTimeout(r.ctx, 5*time.Millisecond)
			_, err := client.Task.Wait(ctx, &protos.WaitRequest{Id: r.config.ID})
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) && launch.Code(err) != codes.DeadlineExceeded { // ttrpc's, or the shim's
				t.Errorf("Wait: %v", err)
			}
		}
		waited := make(chan struct{})
		go func() {
			_, _ = client.Task.Wait(r.ctx, &protos.WaitRequest{Id: r.config.ID}) // ends with the connection
			close(waited)
		}()
		must(t, client.Close())
		<-waited
	}
	soon(t, "no Wait is left", func() bool { return !strings.Contains(r.dump(), ".Wait(") })
	r.finish()
}

// dump asks the shim for its stacks and returns them, whole.
func (r *rig) dump() string {
	r.t.Helper()
	path := r.config.Bundle + "/" + bundle.DumpFile
	_ = os.Remove(path) // of the dump before
	must(r.t, unix.Kill(r.process.Pid, unix.SIGUSR1))
	var text string
	soon(r.t, "a dump with counters", func() bool {
		data, _ := os.ReadFile(path)
		text = string(data)
		return strings.Contains(text, "events sent=")
	})
	return text
}
