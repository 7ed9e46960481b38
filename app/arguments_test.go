package app

// arguments_test.go tests the parsing of Main's arguments.

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
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
		"4001 4002":                     errArguments,
		"-scgi 127.0.0.1:1 2":           errBoth,
		"-processes 2 -min-processes 3": nil,
	} {
		if _, err := parse(args); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
