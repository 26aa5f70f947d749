package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	loopControl = "/dev/loop-control"
	// loopTries is how often another process may snatch a free loop device before we give up.
	loopTries = 100
)

// loopMount mounts a file by way of a loop device that frees itself when the mount is gone.
func loopMount(mnt *Mount, o *options, place *os.File) error {
	mode := os.O_RDWR
	if o.flags&unix.MS_RDONLY != 0 {
		mode = os.O_RDONLY
	}
	backing, err := os.OpenFile(mnt.Source, mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer backing.Close() //nolint:errcheck // the device has its own reference
	device, err := attach(backing, loopFlags(o))
	if err != nil {
		return fmt.Errorf("attach loop device: %w", err)
	}
	defer device.Close() //nolint:errcheck // if nothing is mounted, this frees the device
	return plainMount(device.Name(), procPath(place), mnt.Type, o.flags, o.data())
}

func loopFlags(o *options) uint32 {
	flags := uint32(unix.LO_FLAGS_AUTOCLEAR)
	if o.flags&unix.MS_RDONLY != 0 {
		flags |= unix.LO_FLAGS_READ_ONLY
	}
	if o.direct {
		flags |= unix.LO_FLAGS_DIRECT_IO
	}
	return flags
}

// attach gives a free loop device a file. The device must stay open until it is mounted. The caller closes it.
func attach(backing *os.File, flags uint32) (*os.File, error) {
	control, err := os.OpenFile(loopControl, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close() //nolint:errcheck // nothing was written
	for range loopTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free one: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: flags}}
		copy(config.Info.File_name[:len(config.Info.File_name)-1], backing.Name())
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config) // Linux 5.8
		if err == nil {
			return device, nil
		}
		device.Close() //nolint:errcheck // nothing was written
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("configure %s: %w", device.Name(), err)
		}
	}
	return nil, fmt.Errorf("all free ones were taken by others: %w", unix.EBUSY)
}
