package runctest

import (
	"encoding/json"
	"errors"
	"os"
)

func (f *fake) state() error {
	c, err := f.load()
	if err != nil {
		return err
	}
	out := struct {
		Version string `json:"ociVersion"`
		ID      string `json:"id"`
		Pid     int    `json:"pid"`
		Status  string `json:"status"`
		Bundle  string `json:"bundle"`
	}{"1.2.0", f.id, c.Pid, f.status(c), c.Bundle}
	if out.Status == "stopped" {
		out.Pid = 0
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func (f *fake) ps() error {
	c, err := f.load()
	if err != nil {
		return err
	}
	pids, err := members(c.Cgroup)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(pids)
}

func (f *fake) pause() error {
	c, err := f.load()
	if err != nil {
		return err
	}
	if s := f.status(c); s != "running" && s != "created" {
		return errors.New(sayNotRunning)
	}
	return setFrozen(c.Cgroup, true)
}

func (f *fake) resume() error {
	c, err := f.load()
	if err != nil {
		return err
	}
	if f.status(c) != "paused" {
		return errors.New(sayNotPaused)
	}
	return setFrozen(c.Cgroup, false)
}

// update checks that it gets JSON, and does nothing with it.
func (f *fake) update() error {
	if _, err := f.load(); err != nil {
		return err
	}
	var resources map[string]json.RawMessage
	return json.NewDecoder(os.Stdin).Decode(&resources)
}

func (f *fake) features() error {
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"ociVersionMin": "1.0.0", "ociVersionMax": "1.2.0", "annotations": map[string]string{"runctest": "fake"},
	})
}
