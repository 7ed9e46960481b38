package status

// words.go formats numbers and untrusted strings for people.

import (
	"fmt"
	"strconv"
	"time"
)

// line is a process's row in words.
type line struct {
	pid          int
	state, age   string
	served, busy int64
	memory       string
	work         []string
}

// maxWork is the number of requests shown for each process.
const maxWork = 5

func (h *Handler[S]) line(p *Process[S]) line {
	rows := h.Table(&p.Stats)
	l := line{
		pid: p.Pid, state: p.State, age: duration(p.Age), memory: size(p.Memory),
		served: value(rows, "requests_served_total"), busy: value(rows, "workers_busy"),
	}
	for _, r := range p.Requests[:min(len(p.Requests), maxWork)] {
		l.work = append(l.work, printable(r.Method, maxMethod)+" "+printable(r.URI, maxURI)+" ("+duration(r.Running)+")")
	}
	if more := l.busy - int64(len(l.work)); more > 0 && len(l.work) > 0 {
		l.work = append(l.work, fmt.Sprintf("and %d more", more))
	}
	return l
}

// printable escapes characters that do not print, and those that change the direction of
// text.
func printable(s string, max int) string {
	quoted := strconv.Quote(cut(s, max))
	return quoted[1 : len(quoted)-1]
}

func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", seconds)
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

func size(bytes int64) string {
	switch {
	case bytes <= 0:
		return "?"
	case bytes < 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes < 10<<30:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d GiB", bytes>>30)
}

func number(n float64) string {
	if n < 10 && n != float64(int64(n)) {
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}
