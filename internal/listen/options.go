package listen

// options.go parses the part of an address after "unix:": the path and its options. An
// unknown, repeated or invalid option is an error.

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"strings"
)

// unixOptions are the options after the "?" of a unix address.
type unixOptions struct {
	given    bool
	mode     fs.FileMode
	uid, gid int // -1 leaves the file's own
}

const defaultUnixMode = 0o660 // PHP-FPM's default

// parseUnix splits the part of an address after "unix:".
func parseUnix(s string) (path string, o unixOptions, err error) {
	path, options, given := strings.Cut(s, "?")
	o = unixOptions{given: given, mode: defaultUnixMode, uid: -1, gid: -1}
	switch {
	case path == "" || strings.HasSuffix(path, "/") || strings.Contains(path, "\x00"):
		return "", o, errAddrSyntax
	case path[0] == '@':
		return "", o, errAddrAbstract
	case given:
		err = o.parse(options)
	}
	return path, o, err
}

func (o *unixOptions) parse(options string) error {
	seen := make(map[string]bool)
	for option := range strings.SplitSeq(options, "&") {
		name, value, _ := strings.Cut(option, "=")
		if seen[name] {
			return fmt.Errorf("%w: %.100q is given twice", errAddrOption, name)
		}
		seen[name] = true
		if err := o.set(name, value); err != nil {
			return fmt.Errorf("%w %.100q: %w", errAddrOption, option, err)
		}
	}
	return nil
}

func (o *unixOptions) set(name, value string) (err error) {
	switch name {
	case "mode":
		o.mode, err = parseMode(value)
	case "owner":
		o.uid, err = parseID(value, lookupUser)
	case "group":
		o.gid, err = parseID(value, lookupGroup)
	default:
		err = errors.New("the options are mode, owner and group")
	}
	return err
}

// parseMode reads octal permission bits.
func parseMode(s string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(s, 8, 32)
	if err != nil {
		return 0, err
	}
	if mode > 0o777 {
		return 0, strconv.ErrRange
	}
	return fs.FileMode(mode), nil
}

// parseID reads a number, or a name that lookup maps to a number.
func parseID(s string, lookup func(string) (string, error)) (int, error) {
	if s == "" {
		return 0, strconv.ErrSyntax
	}
	if strings.Trim(s, "0123456789") != "" {
		found, err := lookup(s)
		if err != nil {
			return 0, err
		}
		s = found
	}
	id, err := strconv.ParseUint(s, 10, 32)
	if err == nil && id == 1<<32-1 {
		err = strconv.ErrRange // to chown(2) it means "do not change"
	}
	return int(id), err
}

func lookupUser(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func lookupGroup(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}
