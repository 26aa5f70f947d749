package main

import (
	"fmt"
	"math"
	"strings"
)

// Measures of the plot, in pixels.
const (
	plotWidth  = 900
	plotLabel  = 290
	plotBar    = 11
	plotGap    = 16
	plotHeader = 40
)

var plotColours = []string{"#999999", "#1565c0", "#ef6c00", "#8d6e63", "#6a1b9a"}

// plot draws our figures and the others' as bars, each figure scaled to its largest value.
func (l *lab) plot() string {
	var b strings.Builder
	y := plotHeader
	for _, t := range targets {
		if l.samples[t.figure] == nil {
			continue
		}
		largest := 0.0
		for _, name := range l.names {
			if v := l.median(t.figure, name); !math.IsNaN(v) {
				largest = math.Max(largest, v)
			}
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, plotLabel-8, y+plotBar, escape(strings.TrimSpace(t.figure+" "+t.unit)))
		for i, name := range l.names {
			v := l.median(t.figure, name)
			if math.IsNaN(v) || largest == 0 {
				continue
			}
			width := v / largest * (plotWidth - plotLabel - 80)
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, plotLabel, y, width, plotBar-1, plotColours[i%len(plotColours)])
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" font-size="9">%s</text>`+"\n", float64(plotLabel)+width+4, y+plotBar-2, number(v))
			y += plotBar
		}
		y += plotGap
	}
	var legend strings.Builder
	for i, name := range l.names {
		fmt.Fprintf(&legend, `<rect x="%d" y="12" width="12" height="12" fill="%s"/><text x="%d" y="22">%s</text>`,
			plotLabel+i*130, plotColours[i%len(plotColours)], plotLabel+i*130+18, escape(name))
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+
		`<rect width="100%%" height="100%%" fill="white"/>%s%s</svg>`+"\n", plotWidth, y, legend.String(), b.String())
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
