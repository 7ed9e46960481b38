// Soakplot draws the CSV file that TestSoak writes with -soak.csv.
//
//	soakplot soak.csv soak.svg
package main

import (
	"encoding/csv"
	"fmt"
	"image/color"
	"log"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"example.com/scgi/bench/internal/figure"
)

var colours = []color.Color{
	color.RGBA{0xd6, 0x27, 0x28, 0xff},
	color.RGBA{0x1f, 0x77, 0xb4, 0xff},
	color.RGBA{0x2c, 0xa0, 0x2c, 0xff},
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: soakplot soak.csv soak.svg")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(from, to string) error {
	columns, err := read(from)
	if err != nil {
		return err
	}
	of := func(title, y string, scale float64, names ...string) *plot.Plot {
		p := figure.New(title, "minutes", y)
		for i, name := range names {
			xys := make(plotter.XYs, len(columns["seconds"]))
			for j := range xys {
				xys[j].X, xys[j].Y = columns["seconds"][j]/60, columns[name][j]/scale
			}
			figure.Line(p, name, colours[i], xys, false)
		}
		figure.FromZero(p)
		return p
	}
	return figure.Save(to,
		of("Memory of a soak", "MiB", 1<<20, "resident", "heap"),
		of("... and what is open", "", 1, "goroutines", "descriptors"))
}

// read returns the columns of a CSV file by the names in its first line.
func read(name string) (map[string][]float64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 3 {
		return nil, fmt.Errorf("%s: too short to draw: only %d lines", name, len(rows))
	}
	columns := make(map[string][]float64)
	for _, row := range rows[1:] {
		for i, text := range row {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, err
			}
			columns[rows[0][i]] = append(columns[rows[0][i]], value)
		}
	}
	return columns, nil
}
