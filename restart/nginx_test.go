//go:build unix

package restart

// nginx_test.go owns the web server of the tests under load. Rule: it has one
// SCGI server to ask and asks it once, so that a client sees every failure.

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nginxConfig = `daemon off;
%[1]s
worker_processes 1;
pid %[2]s/nginx.pid;
error_log %[2]s/error.log info;
events {}
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	server {
		listen %[3]s;
		location = /nginx { return 204; }
		location / {
			scgi_param SCGI 1;
			scgi_param REQUEST_METHOD $request_method;
			scgi_param REQUEST_URI $request_uri;
			scgi_param SERVER_PROTOCOL $server_protocol;
			scgi_next_upstream off;
			scgi_pass %[4]s;
		}
	}
}
`

// startNginx starts nginx before the SCGI server at backend, in its own
// grammar, and returns its URL. It ends with the test.
func startNginx(t *testing.T, backend string) (url string) {
	t.Helper()
	program := findNginx(t)
	dir := filepath.Dir(socketPath(t))
	for range 5 { // the port may be taken meanwhile
		addr := freeAddr(t)
		if runNginx(t, program, dir, addr, backend) {
			return "http://" + addr
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
	t.Fatalf("nginx did not start:\n%s", log)
	return ""
}

func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	const message = "nginx is not installed: apt-get install nginx"
	if os.Getenv("SCGI_INTEROP") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// runNginx reports false if nginx ended at once.
func runNginx(t *testing.T, program, dir, addr, backend string) bool {
	t.Helper()
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // who may connect to every socket
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxConfig, user, dir, addr, backend)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// -e: no other log is opened before the configuration is read.
	cmd := exec.Command(program, "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	return awaitNginx(addr, ended)
}

// awaitNginx polls until nginx answers.
func awaitNginx(addr string, ended <-chan struct{}) bool {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(patience)
	for {
		select {
		case <-ended:
			return false
		case <-deadline:
			return false
		case <-poll.C:
			resp, err := client.Head("http://" + addr + "/nginx")
			if err != nil {
				continue
			}
			_ = resp.Body.Close()
			if strings.HasPrefix(resp.Header.Get("Server"), "nginx") {
				return true
			}
		}
	}
}
