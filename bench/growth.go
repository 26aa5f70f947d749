package main

import (
	"context"
	"fmt"
	"time"
)

// benchGrowth brings up more and more tasks, one contender after the other, and looks at how long the next one takes, how long an exec takes, and at the
// memory of each. Contenders are not alive at the same time here: 300 of each would be another machine.
func benchGrowth(ctx context.Context, l *lab) error {
	sizes := []int{1, 20, 100, 300}
	if l.quick {
		sizes = []int{1, 20}
	}
	for _, c := range l.contenders {
		if err := l.grow(ctx, c, sizes); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) grow(ctx context.Context, c contender, sizes []int) (err error) {
	all := map[string][]*box{}
	defer func() {
		if derr := disperse(ctx, all); err == nil {
			err = derr
		}
	}()
	for _, size := range sizes {
		when := fmt.Sprintf("%d alive", size)
		for len(all[c.name]) < size {
			b, err := l.newBox(c, false, idle...)
			if err != nil {
				return err
			}
			all[c.name] = append(all[c.name], b)
			begun := time.Now()
			if err := b.up(ctx); err != nil {
				return err
			}
			l.add("bring-up, "+when, c.name, ms(time.Since(begun)))
		}
		l.tail("bring-up, "+when, c.name)
		for i := range 20 {
			b := all[c.name][i%size]
			begun := time.Now()
			if err := b.execTrue(ctx, fmt.Sprintf("g%d-%d", size, i)); err != nil {
				return err
			}
			l.add("exec, "+when, c.name, ms(time.Since(begun)))
		}
		l.tail("exec, "+when, c.name)
		if err := sleep(ctx, settle); err != nil {
			return err
		}
		for _, b := range all[c.name] {
			u, err := usageOf(b.server.Pid)
			if err != nil {
				return err
			}
			l.add("PSS alone, "+when, c.name, u.pss)
		}
	}
	return nil
}

// tail makes a figure of the 95th percentile of another.
func (l *lab) tail(figure, name string) {
	l.add(figure+": p95", name, l.quantile(figure, name, 0.95))
}
