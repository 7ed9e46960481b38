//go:build linux

package deploy_test

// webserver_test.go owns the web servers in front. Rule: a recipe's stanza is
// used as it stands, but for addresses; what makes it run in a test is around
// it.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// webServer is how one of them is run in the foreground.
type webServer struct {
	name, program, pkg string
	answersAs          string // how its Server field begins
	config             *template.Template
	args               func(dir, conf string) []string
}

var webServers = []webServer{
	{"nginx", "nginx", "nginx", "nginx", parse(nginxConfig), func(dir, conf string) []string {
		// -e: no other log is opened before the configuration is read.
		return []string{"-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")}
	}},
	{"lighttpd", "lighttpd", "lighttpd", "lighttpd", parse(lighttpdConfig), func(_, conf string) []string {
		return []string{"-D", "-f", conf}
	}},
	{"apache", "apache2", "apache2", "Apache", parse(apacheConfig), func(dir, conf string) []string {
		return []string{"-d", dir, "-f", conf, "-DFOREGROUND"}
	}},
}

func parse(text string) *template.Template { return template.Must(template.New("").Parse(text)) }

const nginxConfig = `daemon off;
worker_processes 1;
{{if .Root}}user www-data www-data;{{end}}
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log info;
events {}
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	{{.Stanza}}
}
`

const lighttpdConfig = `server.bind = "{{.Host}}"
server.port = {{.Port}}
server.document-root = "{{.Dir}}"
server.upload-dirs = ( "{{.Dir}}" )
server.errorlog = "{{.Dir}}/error.log"
{{.Stanza}}
`

const apacheConfig = `Listen {{.Host}}:{{.Port}}
ServerName deploy.test
PidFile "{{.Dir}}/apache.pid"
ErrorLog "{{.Dir}}/error.log"
Mutex "file:{{.Dir}}" default
DefaultRuntimeDir "{{.Dir}}"
DocumentRoot "{{.Dir}}"
StartServers 1
{{if .Root}}User www-data
Group www-data{{end}}
{{range .Modules}}LoadModule {{.}}_module "{{$.Lib}}/mod_{{.}}.so"
{{end}}
{{.Stanza}}
`

var apacheModules = []string{
	"mpm_event", "authn_core", "authz_core",
	"proxy", "proxy_scgi", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests",
}

// start starts the web server with a stanza, and returns its URL. In the stanza
// LISTEN stands for the address to listen on. It ends with the test.
func (w webServer) start(t *testing.T, stanza string) (url string) {
	t.Helper()
	program := need(t, w.program, w.pkg)
	dir := openDir(t)
	t.Cleanup(func() { showLog(t, dir) })
	for range 5 { // the port may be taken meanwhile
		addr := freeAddr(t)
		conf := w.writeConfig(t, dir, addr, stanza)
		if w.run(t, exec.Command(program, w.args(dir, conf)...), dir, addr) {
			return "http://" + addr
		}
	}
	t.Fatalf("%s did not start", w.name)
	return ""
}

func showLog(t *testing.T, dir string) {
	if t.Failed() {
		text, _ := os.ReadFile(filepath.Join(dir, "error.log"))
		t.Logf("%s", text[max(0, len(text)-4096):])
	}
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

func (w webServer) writeConfig(t *testing.T, dir, addr, stanza string) (path string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if w.name == "nginx" {
		params := readFile(t, "/etc/nginx/scgi_params")
		if err := os.WriteFile(filepath.Join(dir, "scgi_params"), []byte(params), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	err = w.config.Execute(&text, map[string]any{
		"Dir": dir, "Host": host, "Port": port, "Root": os.Getuid() == 0,
		"Stanza": strings.ReplaceAll(stanza, "LISTEN", addr),
		"Lib":    "/usr/lib/apache2/modules", "Modules": apacheModules,
	})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, w.name+".conf")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// run reports false if the web server does not get to serve.
func (w webServer) run(t *testing.T, cmd *exec.Cmd, dir, addr string) bool {
	t.Helper()
	var output bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	if err := w.await(addr, p.ended); err != nil {
		_ = p.end(t, syscall.SIGKILL)
		t.Logf("%s: %v\n%s", w.name, err, output.Bytes())
		return false
	}
	t.Cleanup(func() { _ = p.end(t, syscall.SIGTERM) })
	return true
}

// await polls until the web server itself answers at addr.
func (w webServer) await(addr string, ended <-chan struct{}) error {
	deadline := time.After(patience)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ended:
			return errors.New("it has ended")
		case <-deadline:
			return errors.New("it does not answer in time")
		case <-poll.C:
			if strings.HasPrefix(serverName(addr), w.answersAs) {
				return nil
			}
		}
	}
}

// serverName is what the server at addr calls itself. "OPTIONS *" is answered
// by each of them, and passed on by none.
func serverName(addr string) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprint(c, "OPTIONS * HTTP/1.1\r\nHost: deploy.test\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return ""
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Server")
}
