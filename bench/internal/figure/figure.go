// Package figure draws line charts as SVG files, all in one style.
package figure

import (
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// New returns an empty figure.
func New(title, x, y string) *plot.Plot {
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

// Line adds a line through the points, with a dot at each point if dots is true.
func Line(p *plot.Plot, name string, colour color.Color, xys plotter.XYs, dots bool) {
	line, points, err := plotter.NewLinePoints(xys)
	if err != nil {
		panic(err) // no data, NaN or infinity: a bug in the caller
	}
	line.Color, line.Width = colour, vg.Points(1.5)
	points.Color, points.Shape, points.Radius = colour, draw.CircleGlyph{}, vg.Points(2)
	p.Add(line)
	if dots {
		p.Add(points)
	}
	p.Legend.Add(name, line)
}

// FromZero starts the y axis at zero and leaves room for the legend at the top.
func FromZero(p *plot.Plot) { p.Y.Min, p.Y.Max = 0, p.Y.Max*1.4 }

// Save writes the figures to a file, side by side.
func Save(name string, figures ...*plot.Plot) (err error) {
	const width, height, margin = 6.5 * vg.Inch, 4.5 * vg.Inch, 0.3 * vg.Inch
	canvas := vgsvg.New(width*vg.Length(len(figures)), height)
	all := draw.New(canvas)
	for i, p := range figures {
		left := width * vg.Length(i)
		p.Draw(draw.Crop(all, left+margin/3, left+width-all.Max.X-margin, 0, -margin/3))
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	_, err = canvas.WriteTo(f)
	return err
}
