//go:build unix

package cgihost

// find.go finds the program for a request. No request reaches a program outside
// the folder.

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"example.com/scgi"
)

// script is the program that answers a request.
type script struct {
	path string
	vars []string // SCRIPT_FILENAME and the like; they replace the request's
}

// find returns the program for a request.
//
// In a folder, os.Root checks the path and refuses links that lead out of it. exec
// then starts the program by its path, because a script needs its own name. Anyone
// who can replace the file with such a link between the two steps can already
// write programs to the folder.
func (h *Host) find(env scgi.Env) (script, error) {
	info, err := os.Stat(h.Path)
	switch {
	case err != nil:
		return script{}, fail(http.StatusInternalServerError, "%w", err)
	case !info.IsDir():
		return script{path: h.Path}, nil
	}
	name, sent := env.Lookup("SCRIPT_FILENAME")
	if !sent {
		return h.findByPath(env)
	}
	inside, ok := strings.CutPrefix(name, strings.TrimSuffix(h.Path, "/")+"/")
	if !ok {
		return script{}, fail(http.StatusNotFound, "SCRIPT_FILENAME is %.200q, which is not in %s", name, h.Path)
	}
	path, err := h.lookUp(inside)
	if err != nil {
		return script{}, fmt.Errorf("SCRIPT_FILENAME is %.200q: %w", name, err)
	}
	s := h.script(path)
	if after := inside[len(path):]; after != "" {
		s.vars = append(s.vars, "PATH_INFO="+after, "SCRIPT_NAME="+strings.TrimSuffix(env.Get("SCRIPT_NAME"), after))
	}
	return s, nil
}

// findByPath takes PATH_INFO as the path in the folder. It serves front ends that
// don't send SCRIPT_FILENAME, such as package gateway.
func (h *Host) findByPath(env scgi.Env) (script, error) {
	name := env.Get("PATH_INFO")
	inside := strings.TrimPrefix(name, "/")
	path, err := h.lookUp(inside)
	if err != nil {
		return script{}, fmt.Errorf("there is no SCRIPT_FILENAME, and PATH_INFO is %.200q: %w", name, err)
	}
	s := h.script(path)
	s.vars = append(s.vars, "PATH_INFO="+inside[len(path):], "SCRIPT_NAME="+env.Get("SCRIPT_NAME")+"/"+path)
	return s, nil
}

func (h *Host) script(path string) script {
	full := filepath.Join(h.Path, path)
	return script{path: full, vars: []string{"SCRIPT_FILENAME=" + full}}
}

// lookUp returns the part of name that is a program in the folder, which is the
// path up to the first element that is not a folder.
func (h *Host) lookUp(name string) (string, error) {
	root, err := os.OpenRoot(h.Path)
	if err != nil {
		return "", fail(http.StatusInternalServerError, "%w", err)
	}
	defer root.Close()
	for i, c := range name + "/" {
		if c != '/' {
			continue
		}
		path := name[:i]
		if !fs.ValidPath(path) { // it contains ".." or an empty element
			return "", fail(http.StatusNotFound, "%.200q is not a path", path)
		}
		info, err := root.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", fail(http.StatusNotFound, "%w", err)
		case err != nil:
			return "", fail(http.StatusForbidden, "%w", err)
		case info.IsDir():
		case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
			return "", fail(http.StatusForbidden, "%s is not an executable file", path)
		default:
			return path, nil
		}
	}
	return "", fail(http.StatusForbidden, "%s is a folder", name)
}
