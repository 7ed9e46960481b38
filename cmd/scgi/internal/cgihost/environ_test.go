//go:build unix

package cgihost

import (
	"slices"
	"strings"
	"testing"
)

const printEnviron = `printf 'A: b\n\n'; exec /usr/bin/env`

// environOf returns a program's environment without the shell's own variables.
func environOf(t *testing.T, h *Host, body string, variables ...string) []string {
	t.Helper()
	h.Path = program(t, printEnviron)
	_, page := serve(t, h).ask(t, body, variables...)
	var environ []string
	for _, line := range strings.Split(strings.TrimSpace(page), "\n") {
		if name, _, _ := strings.Cut(line, "="); !slices.Contains([]string{"PWD", "OLDPWD", "SHLVL", "_"}, name) {
			environ = append(environ, line)
		}
	}
	slices.Sort(environ)
	return environ
}

func wantEnviron(t *testing.T, got []string, want ...string) {
	t.Helper()
	want = append(want, "GATEWAY_INTERFACE=CGI/1.1", "REQUEST_METHOD=GET", "REQUEST_URI=/uri")
	if !slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(s, "PATH=") }) {
		want = append(want, "PATH=/host/bin")
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A peer can't send a variable that configures a program.
func TestHostileVariablesAreDropped(t *testing.T) {
	t.Setenv("PATH", "/host/bin")
	t.Setenv("SECRET", "of the host")
	var hostile []string
	for _, name := range strings.Fields(`PATH IFS ENV BASH_ENV SHELLOPTS PS4 LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT
		DYLD_INSERT_LIBRARIES GCONV_PATH LOCPATH NLSPATH TZ TZDIR LANG LC_ALL TMPDIR HOME USER SHELL PWD CDPATH
		PERL5LIB PERL5OPT PERL5DB PYTHONPATH PYTHONHOME PYTHONSTARTUP RUBYOPT RUBYLIB NODE_OPTIONS JAVA_TOOL_OPTIONS
		PHPRC PHP_INI_SCAN_DIR LUA_INIT GIT_PROJECT_ROOT GIT_CONFIG_COUNT GIT_EXEC_PATH GIT_SSH_COMMAND
		GODEBUG GOTRACEBACK OPENSSL_CONF SSL_CERT_FILE SSL_CERT_DIR SSL_DIR SSLKEYLOGFILE
		HTTP_PROXY http_proxy HTTPS_PROXY ALL_PROXY NO_PROXY CGI_HTTP_PROXY
		EDITOR PAGER LESSOPEN NOTIFY_SOCKET LISTEN_FDS BASH_FUNC_echo%% HTTP SSL REDIRECT`) {
		hostile = append(hostile, name, "/evil")
	}
	hostile = append(hostile, "HTTP_A=b", "evil", "PATH=/evil", "x", "A=", "x")
	wantEnviron(t, environOf(t, new(Host), "", hostile...))
}

func TestCGIVariablesArePassed(t *testing.T) {
	t.Setenv("PATH", "/host/bin")
	var sent, want []string
	for _, name := range append(known, "HTTP_", "HTTP_ACCEPT", "HTTP_X_ANY", "REDIRECT_STATUS", "REDIRECT_ANY",
		"SSL_CLIENT_S_DN", "SSL_SERVER_S_DN_CN", "SSL_CIPHER", "SSL_CIPHER_USEKEYSIZE", "SSL_SESSION_ID", "SSL_VERSION_LIBRARY") {
		switch name {
		case "CONTENT_LENGTH", "GATEWAY_INTERFACE", "REQUEST_METHOD", "REQUEST_URI":
			continue
		}
		sent = append(sent, name, "of "+name)
		want = append(want, name+"=of "+name)
	}
	wantEnviron(t, environOf(t, new(Host), "body", sent...), append(want, "CONTENT_LENGTH=4")...)
}

func TestHostVariables(t *testing.T) {
	t.Setenv("PATH", "/host/bin")
	h := &Host{Pass: []string{"GIT_PROJECT_ROOT", "PATH"}, Env: []string{"REMOTE_USER=host", "EMPTY="}}
	wantEnviron(t, environOf(t, h, "", "REMOTE_USER", "peer", "GIT_PROJECT_ROOT", "/git", "GIT_DIR", "/evil", "PATH", "/evil"),
		"REMOTE_USER=host", "EMPTY=", "GIT_PROJECT_ROOT=/git")
	t.Setenv("PATH", "")
	wantEnviron(t, environOf(t, new(Host), ""), "PATH="+defaultPath)
	wantEnviron(t, environOf(t, &Host{Env: []string{"PATH=/mine"}}, ""), "PATH=/mine")
}

func TestRepeatedVariables(t *testing.T) {
	t.Setenv("PATH", "/host/bin")
	wantEnviron(t, environOf(t, new(Host), "",
		"HTTP_ACCEPT", "a", "HTTP_COOKIE", "x", "REMOTE_USER", "first", "HTTP_HOST", "one", "CONTENT_LENGTH", "0",
		"HTTP_ACCEPT", "b", "HTTP_COOKIE", "y", "REMOTE_USER", "last", "HTTP_HOST", "two"),
		"HTTP_ACCEPT=a, b", "HTTP_COOKIE=x; y", "REMOTE_USER=last", "HTTP_HOST=two")
}
