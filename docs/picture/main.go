// Picture draws how a request travels, as the README shows it:
//
//	go run ./docs/picture > docs/picture.svg
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	width, height = 860, 330

	blue, green, orange, grey = "#d8e7f7", "#dcefd8", "#fbe6cf", "#f1f1f1"
)

// drawing is an SVG in the making.
type drawing struct{ strings.Builder }

func (d *drawing) box(x, y, w, h int, fill string, lines ...string) {
	d.frame(x, y, w, h, fill)
	d.text(x+w/2, y+h/2+13-17*len(lines)/2, lines...)
}

func (d *drawing) frame(x, y, w, h int, fill string) {
	fmt.Fprintf(d, `<rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="%s" stroke="#555"/>`+"\n", x, y, w, h, fill)
}

// text writes lines below each other; the first is bold.
func (d *drawing) text(x, y int, lines ...string) {
	weight := ` font-weight="bold"`
	for i, line := range lines {
		fmt.Fprintf(d, `<text x="%d" y="%d" text-anchor="middle"%s>%s</text>`+"\n", x, y+17*i, weight, line)
		weight = ""
	}
}

func (d *drawing) arrow(x1, y1, x2, y2 int, dash string) {
	fmt.Fprintf(d, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#333" stroke-width="1.5" marker-end="url(#tip)"%s/>`+"\n", x1, y1, x2, y2, dash)
}

// child is a process with its workers; the busy ones are filled.
func (d *drawing) child(y, busy int, state string) {
	const x, w, workers = 600, 240, 6
	d.frame(x, y, w, 78, green)
	d.text(x+w/2, y+20, "child process", state)
	for i := range workers {
		fill := "#fff"
		if i < busy {
			fill = "#5a9e4b"
		}
		fmt.Fprintf(d, `<circle cx="%d" cy="%d" r="8" fill="%s" stroke="#555"/>`+"\n", x+w/2-100+40*i, y+60, fill)
	}
}

func draw(w io.Writer) error {
	d := new(drawing)
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13" role="img">`+"\n", width, height, width, height)
	d.WriteString("<title>A request goes from the browser through the web server and a socket to a worker in one of several child processes, which a parent process starts and replaces</title>\n")
	d.WriteString(`<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto"><path d="M0,0 L9,4 L0,8 z" fill="#333"/></marker></defs>` + "\n")
	fmt.Fprintf(d, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	d.box(20, 130, 100, 70, grey, "browser")
	d.box(190, 115, 140, 100, blue, "web server", "nginx, lighttpd", "or Apache")
	d.box(410, 115, 120, 100, orange, "socket", "unix or TCP;", "requests wait here")
	d.text(155, 155, "HTTP")
	d.text(370, 155, "SCGI")
	d.arrow(120, 165, 188, 165, "")
	d.arrow(330, 165, 408, 165, "")
	for i, c := range []struct {
		busy  int
		state string
	}{{4, "6 workers, 4 requests"}, {0, "idle"}, {6, "all workers busy"}} {
		y := 20 + 105*i
		d.child(y, c.busy, c.state)
		d.arrow(530, 165, 598, y+39, "")
	}
	d.box(380, 262, 180, 54, blue, "parent process", "opens, starts, replaces")
	dash := ` stroke-dasharray="4 3"`
	d.arrow(470, 262, 470, 217, dash)
	d.arrow(560, 289, 598, 279, dash)
	d.WriteString("</svg>\n")
	_, err := io.WriteString(w, d.String())
	return err
}

func main() {
	if err := draw(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}
