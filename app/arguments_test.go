package app

// arguments_test.go owns the tests of what the arguments mean.

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/scgi/prefork"
)

func parse(args string) (*arguments, error) {
	a := new(arguments)
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	a.define(flags)
	if err := flags.Parse(strings.Fields(args)); err != nil {
		return nil, err
	}
	return a, a.complete(flags)
}

func TestAddresses(t *testing.T) {
	for _, test := range []struct{ args, scgi, http string }{
		{"", "127.0.0.1:4000", "127.0.0.1:8080"},
		{"4001", "127.0.0.1:4001", "127.0.0.1:8080"},
		{"-http= 4001", "127.0.0.1:4001", ""},
		{"-scgi unix:/run/a -http :80", "unix:/run/a", ":80"},
		{"-scgi fd:0", "fd:0", ""},
		{"-scgi systemd:", "systemd:", ""},
		{"-scgi systemd: -http 127.0.0.1:8080", "systemd:", "127.0.0.1:8080"},
		{"-chroot /srv", "127.0.0.1:4000", ""},
		{"-chroot /srv -http :80", "127.0.0.1:4000", ":80"},
	} {
		a, err := parse(test.args)
		if err != nil || a.Addr != test.scgi || a.HTTPAddr != test.http {
			t.Errorf("%q: %+v, %v", test.args, a, err)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	for args, want := range map[string]error{
		"4001 4002":                        errArguments,
		"-scgi 127.0.0.1:1 2":              errBoth,
		"-processes 2 -min-processes 3":    errMinimum,
		"-min-processes 3":                 errMinimum,
		"-max-memory 1X":                   nil,
		"-max-memory M":                    nil,
		"-max-memory 9223372036854775807G": nil,
		"-max-age 5":                       nil,
	} {
		if _, err := parse(args); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// Each flag sets its field.
func TestProcessArguments(t *testing.T) {
	a, err := parse("-workers 1 -timeout 2s -processes 8 -min-processes 3 -max-requests 4 -max-memory 5M -max-age 6h -user u -group g -chroot c -status s -http=")
	if err != nil {
		t.Fatal(err)
	}
	if a.Server.MaxWorkers != 1 || a.Server.RequestTimeout != 2*time.Second {
		t.Errorf("%d workers, %v", a.Server.MaxWorkers, a.Server.RequestTimeout)
	}
	want := prefork.Program{
		Server: a.Server, Addr: "127.0.0.1:4000", MaxProcesses: 8, MinProcesses: 3,
		MaxRequests: 4, MaxMemory: 5 << 20, MaxAge: 6 * time.Hour, User: "u", Group: "g", Chroot: "c", StatusAddr: "s",
	}
	if !reflect.DeepEqual(a.Program, want) {
		t.Errorf("%+v, want %+v", a.Program, want)
	}
	for text, want := range map[string]int64{"0": 0, "7": 7, "1K": 1 << 10, "3G": 3 << 30} {
		if a, err := parse("-max-memory " + text); err != nil || a.MaxMemory != want {
			t.Errorf("-max-memory %s: %+v, %v", text, a, err)
		}
	}
}
