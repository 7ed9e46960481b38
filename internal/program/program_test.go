package program

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/prefork"
)

func parse(p prefork.Program, args string) (*prefork.Program, error) {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	Define(flags, &p)
	if err := flags.Parse(strings.Fields(args)); err != nil {
		return nil, err
	}
	return &p, Check(&p)
}

func TestCheckFindsContradictions(t *testing.T) {
	for args, want := range map[string]error{
		"-processes 2 -min-processes 3":    errMinimum,
		"-min-processes 3":                 errAlone,
		"-max-requests 1":                  errAlone,
		"-max-memory 1M":                   errAlone,
		"-max-age 1h -processes 0":         errAlone,
		"-max-memory 1X":                   nil,
		"-max-memory M":                    nil,
		"-max-memory 9223372036854775807G": nil,
		"-max-age 5":                       nil,
	} {
		if _, err := parse(prefork.Program{Server: new(scgi.Server)}, args); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v", args, err)
		}
	}
	for _, args := range []string{
		"",
		"-processes 0 -max-requests 0 -max-memory 0 -max-age 0",
		"-processes 3 -min-processes 3",
		"-processes -1 -min-processes 3",
	} {
		if _, err := parse(prefork.Program{Server: new(scgi.Server)}, args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// Each flag sets its field.
func TestFlags(t *testing.T) {
	p, err := parse(prefork.Program{Server: new(scgi.Server)}, "-workers 1 -timeout 2s -processes 8 -min-processes 3 -max-requests 4 -max-memory 5M -max-age 6h -user u -group g -chroot c -status s -http h")
	if err != nil {
		t.Fatal(err)
	}
	want := prefork.Program{
		Server: &scgi.Server{MaxWorkers: 1, RequestTimeout: 2 * time.Second}, HTTPAddr: "h", MaxProcesses: 8, MinProcesses: 3,
		MaxRequests: 4, MaxMemory: 5 << 20, MaxAge: 6 * time.Hour, User: "u", Group: "g", Chroot: "c", StatusAddr: "s",
	}
	if !reflect.DeepEqual(*p, want) {
		t.Errorf("%+v, want %+v", *p, want)
	}
	for text, want := range map[string]int64{"0": 0, "7": 7, "1K": 1 << 10, "3G": 3 << 30} {
		if p, err := parse(prefork.Program{Server: new(scgi.Server)}, "-processes 1 -max-memory "+text); err != nil || p.MaxMemory != want {
			t.Errorf("-max-memory %s: %+v, %v", text, p, err)
		}
	}
}

// A flag that is not given leaves the value that the program set.
func TestDefaults(t *testing.T) {
	want := prefork.Program{
		Server: &scgi.Server{MaxWorkers: 1, RequestTimeout: 2 * time.Second}, HTTPAddr: "h", MaxProcesses: 8, MinProcesses: 3,
		MaxRequests: 4, MaxMemory: 5 << 20, MaxAge: 6 * time.Hour, User: "u", Group: "g", Chroot: "c", StatusAddr: "s",
	}
	if p, err := parse(want, ""); err != nil || !reflect.DeepEqual(*p, want) {
		t.Errorf("%+v, %v; want %+v", p, err, want)
	}
	if p, err := parse(prefork.Program{Server: new(scgi.Server)}, ""); err != nil || p.Server.MaxWorkers != scgi.DefaultMaxWorkers || p.MinProcesses != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}
