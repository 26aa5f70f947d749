package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
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
	return strings.Join(append(words, fieldWords("", message)...), " ")
}

// fieldWords gives the set fields of a message, named as in its .proto file, as name=value, and those of a message within as outer.name=value.
func fieldWords(prefix string, message any) []string {
	var words []string
	m := reflect.Indirect(reflect.ValueOf(message))
	for i := range m.NumField() {
		field := m.Field(i)
		tag, _, _ := strings.Cut(m.Type().Field(i).Tag.Get("json"), ",")
		if tag == "" || field.IsZero() {
			continue
		}
		name := prefix + tag
		switch v := field.Interface().(type) {
		case *timestamppb.Timestamp:
			words = append(words, name+"="+v.AsTime().Format(time.RFC3339Nano))
		default:
			switch field.Kind() {
			case reflect.Slice:
				words = append(words, fmt.Sprintf("%s=[%d]", name, field.Len()))
			case reflect.Pointer:
				words = append(words, fieldWords(name+".", v)...)
			default:
				words = append(words, fmt.Sprintf("%s=%v", name, v))
			}
		}
	}
	return words
}
