package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// printer takes the events of a server, whether they are to be shown or not: a shim waits for each to be taken.
type printer struct {
	p      *program
	events *launch.Events
	show   bool
	done   chan struct{}
}

func newPrinter(p *program, events *launch.Events, show bool) *printer {
	return &printer{p: p, events: events, show: show, done: make(chan struct{})}
}

// run ends when the server is closed and all its events are shown.
func (r *printer) run() {
	defer close(r.done)
	for envelope := range r.events.C() {
		if r.show {
			r.p.line(eventLine(envelope))
		}
	}
}

// eventLine gives an event as one line: time, topic, and the fields that are set, in the order of their numbers.
func eventLine(envelope *protos.Envelope) string {
	words := []string{envelope.GetTimestamp().AsTime().Format(time.RFC3339Nano), envelope.GetTopic()}
	message, err := launch.DecodeEvent(envelope)
	if err != nil {
		return strings.Join(append(words, err.Error()), " ")
	}
	return strings.Join(append(words, fieldWords("", message.ProtoReflect())...), " ")
}

// fieldWords gives the set fields of a message as name=value, those of a message within as outer.name=value.
func fieldWords(prefix string, m protoreflect.Message) []string {
	var words []string
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		name, value := prefix+string(field.Name()), m.Get(field)
		switch {
		case field.IsList():
			words = append(words, fmt.Sprintf("%s=[%d]", name, value.List().Len()))
		case field.Message() == nil:
			words = append(words, fmt.Sprintf("%s=%v", name, value.Interface()))
		default:
			if at, ok := value.Message().Interface().(*timestamppb.Timestamp); ok {
				words = append(words, name+"="+at.AsTime().Format(time.RFC3339Nano))
			} else {
				words = append(words, fieldWords(name+".", value.Message())...)
			}
		}
	}
	return words
}
