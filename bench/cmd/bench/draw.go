//go:build linux

package main

// draw.go owns the drawings. Rule: a contestant has the same colour in all of
// them.

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
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
	throughput := newPlot("Requests/s against requests in flight (unix socket)", "in flight", "requests/s")
	perSecondOf := func(_ table, r row) float64 { return r.median(perSecond) }
	r.flights.draw(throughput, curved, perSecondOf)
	throughput.X.Scale = plot.LogScale{}
	fromZero(throughput)

	header := newPlot("Server's processor time against header size", "KiB of header", "relative to scgi, native, usual header")
	r.headers.draw(header, sized, func(_ table, row row) float64 { return row.ratio(r.headers.tables[0][0], cpuEach) })
	body := newPlot("... and against body size", "KiB of request body", "relative to scgi, native, no body")
	r.bodies.draw(body, sized, func(_ table, row row) float64 { return row.ratio(r.bodies.tables[0][0], cpuEach) })
	for _, p := range []*plot.Plot{header, body} {
		p.X.Tick.Marker = kibibytes{}
		fromZero(p)
	}
	return errors.Join(
		save(folder, "throughput.svg", throughput),
		save(folder, "latency.svg", r.drawLatency()),
		save(folder, "cost.svg", header, body))
}

// drawLatency has percentiles on an axis that is finer toward 100.
func (r results) drawLatency() *plot.Plot {
	p := newPlot(fmt.Sprintf("Latency at %.0f requests/s, from when each was due", r.rate), "percentile", "µs")
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

// fromZero has room for the legend above.
func fromZero(p *plot.Plot) { p.Y.Min, p.Y.Max = 0, p.Y.Max*1.4 }

func newPlot(title, x, y string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.BackgroundColor = color.White
	p.Title.Padding = vg.Points(8)
	p.Title.TextStyle.Font.Size, p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = 12, 10, 10
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = font.Points(8)
	p.Add(plotter.NewGrid())
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
	line, dots, err := plotter.NewLinePoints(xys)
	if err != nil {
		panic(err) // a number that is none: a defect of this program
	}
	line.Color, line.Width = colours[c.name], vg.Points(1.5)
	dots.Color, dots.Shape, dots.Radius = colours[c.name], draw.CircleGlyph{}, vg.Points(2)
	p.Add(line, dots)
	p.Legend.Add(c.name, line)
}

// thePoints are ticks where something was measured.
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

// save draws the plots side by side.
func save(folder, name string, plots ...*plot.Plot) error {
	const width, height, margin = 6.5 * vg.Inch, 4.5 * vg.Inch, 0.3 * vg.Inch
	canvas := vgsvg.New(width*vg.Length(len(plots)), height)
	all := draw.New(canvas)
	for i, p := range plots {
		left := width * vg.Length(i)
		p.Draw(draw.Crop(all, left+margin/3, left+width-all.Max.X-margin, 0, -margin/3))
	}
	var svg strings.Builder
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, name), svg.String())
}
