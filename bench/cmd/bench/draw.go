//go:build linux

package main

// draw.go draws the figures. A contestant has the same colour in all of them.

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"example.com/scgi/bench/internal/figure"
)

var colours = map[string]color.RGBA{
	bare.name:     {0x80, 0x80, 0x80, 0xff},
	native.name:   {0xd6, 0x27, 0x28, 0xff},
	asHTTP.name:   {0xff, 0x7f, 0x0e, 0xff},
	naive.name:    {0x94, 0x67, 0xbd, 0xff},
	httpKept.name: {0x2c, 0xa0, 0x2c, 0xff},
	httpOnce.name: {0x98, 0xdf, 0x8a, 0xff},
	fcgiKept.name: {0x1f, 0x77, 0xb4, 0xff},
	fcgiOnce.name: {0x7f, 0xc4, 0xe8, 0xff},
}

func (r results) draw(folder string) error {
	throughput := figure.New("Requests/s against requests in flight (unix socket)", "in flight", "requests/s")
	perSecondOf := func(_ table, r row) float64 { return r.median(perSecond) }
	r.flights.draw(throughput, curved, perSecondOf)
	throughput.X.Scale = plot.LogScale{}
	figure.FromZero(throughput)

	header := figure.New("Server's processor time against header size", "KiB of header", "relative to scgi, native, usual header")
	r.headers.draw(header, sized, func(_ table, row row) float64 { return row.ratio(r.headers.tables[0][0], cpuEach) })
	body := figure.New("... and against body size", "KiB of request body", "relative to scgi, native, no body")
	r.bodies.draw(body, sized, func(_ table, row row) float64 { return row.ratio(r.bodies.tables[0][0], cpuEach) })
	for _, p := range []*plot.Plot{header, body} {
		p.X.Tick.Marker = kibibytes{}
		figure.FromZero(p)
	}
	return errors.Join(
		figure.Save(filepath.Join(folder, "throughput.svg"), throughput),
		figure.Save(filepath.Join(folder, "latency.svg"), r.drawLatency()),
		figure.Save(filepath.Join(folder, "cost.svg"), header, body))
}

// drawLatency draws latency by percentile, on an axis that stretches toward 100.
func (r results) drawLatency() *plot.Plot {
	p := figure.New(fmt.Sprintf("Latency at %.0f requests/s, from when each was due", r.rate), "percentile", "µs")
	for _, c := range curved {
		var ps []point
		for _, q := range r.latency[c.name] {
			if q.x < 100 {
				ps = append(ps, point{-math.Log10(1 - q.x/100), max(q.y, 1)})
			}
		}
		addLine(p, c, ps)
	}
	p.X.Tick.Marker = plot.ConstantTicks{
		{Value: 0, Label: "0"}, {Value: -math.Log10(0.5), Label: "50"}, {Value: 1, Label: "90"},
		{Value: 2, Label: "99"}, {Value: 3, Label: "99.9"}, {Value: 4, Label: "99.99"},
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Max *= 30 // room for the legend
	return p
}

func (c curves) draw(p *plot.Plot, cs []contestant, y func(table, row) float64) {
	for i, who := range cs {
		addLine(p, who, c.points(i, y))
	}
	p.X.Tick.Marker = thePoints(c.xs)
}

func addLine(p *plot.Plot, c contestant, ps []point) {
	xys := make(plotter.XYs, len(ps))
	for i, at := range ps {
		xys[i].X, xys[i].Y = at.x, at.y
	}
	figure.Line(p, c.name, colours[c.name], xys, true)
}

// thePoints puts a tick at each measured x.
type thePoints []int

func (t thePoints) Ticks(_, _ float64) (ticks []plot.Tick) {
	for _, x := range t {
		ticks = append(ticks, plot.Tick{Value: float64(x), Label: fmt.Sprint(x)})
	}
	return ticks
}

type kibibytes struct{}

func (kibibytes) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low/1024, high/1024)
	for i, t := range ticks {
		ticks[i].Value *= 1024
		if t.Label != "" {
			ticks[i].Label = fmt.Sprint(t.Value)
		}
	}
	return ticks
}
