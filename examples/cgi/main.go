//go:build unix

// Cgi serves a CGI program, here a shell script, from your own program. It starts
// one process for each request; the server's number of workers bounds them. When
// the client disconnects, the script is killed with everything that it has
// started. The command scgi host does this for any folder of CGI programs, and
// checks their replies.
//
//	go run ./examples/cgi
//	go run ./examples/cgi -script /srv/cgi-bin/other
//
// The first serves examples/cgi/hello.sh for every path, the second another script,
// over SCGI on 127.0.0.1:4000 and at http://127.0.0.1:8080/.
//
// The script gets only the variables of CGI, so that no peer can set its PATH.
// SCRIPT_NAME is -root, and PATH_INFO is the rest of the path.
//
// To serve it under /cgi of a web server, with -root /cgi:
//
// nginx:
//
//	location /cgi {
//	    include    scgi_params;
//	    scgi_param HTTP_PROXY "";
//	    scgi_pass  127.0.0.1:4000;
//	}
//
// lighttpd:
//
//	server.modules += ( "mod_scgi" )
//	scgi.server = ( "/cgi" => (( "host" => "127.0.0.1", "port" => 4000,
//	                             "check-local" => "disable" )) )
//
// Apache, with mod_proxy and mod_proxy_scgi:
//
//	ProxyPass "/cgi" "scgi://127.0.0.1:4000/cgi"
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/scgi"
	"example.com/scgi/app"
)

func main() {
	var s script
	flag.StringVar(&s.path, "script", "examples/cgi/hello.sh", "the CGI `program`, run in its own folder")
	flag.StringVar(&s.root, "root", "/", "the `path` under which the program is served")
	app.Main(scgi.HTTPHandler(&s))
}

type script struct{ path, root string }

// ServeHTTP runs the script. Its output is a CGI response, which an SCGI server
// sends unchanged.
func (s *script) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r, _ := scgi.FromContext(req.Context())
	scgi.ProduceFunc(func(_ scgi.Env, _ int64, input io.Reader, output io.Writer) {
		out := &counter{Writer: output}
		err := s.run(req, r.Env, input, out)
		if err != nil {
			log.Printf("%s: %v", s.path, err)
		}
		if out.n == 0 {
			fmt.Fprint(out, "Status: 500 Internal Server Error\r\n\r\n")
		}
	}).ServeSCGI(w, r)
}

// run runs the script. It returns at the latest a second after the client has
// disconnected.
func (s *script) run(req *http.Request, env scgi.Env, input io.Reader, output io.Writer) error {
	path, err := filepath.Abs(s.path)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(req.Context(), path)
	cmd.Dir = filepath.Dir(path)
	cmd.Env = s.environ(req, env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, output, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // another process may keep its output open
	return cmd.Run()
}

// request lists the variables of RFC 3875 that describe a request, except header
// fields and the variables that environ sets.
var request = strings.Fields(`AUTH_TYPE CONTENT_TYPE HTTPS QUERY_STRING REMOTE_ADDR REMOTE_HOST REMOTE_IDENT
	REMOTE_PORT REMOTE_USER REQUEST_METHOD REQUEST_URI SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SOFTWARE`)

func (s *script) environ(req *http.Request, env scgi.Env) []string {
	environ := slices.DeleteFunc(env.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return !slices.Contains(request, name) && !strings.HasPrefix(name, "HTTP_")
	})
	root := strings.TrimRight(s.root, "/")
	environ = append(environ, "GATEWAY_INTERFACE=CGI/1.1", "PATH="+os.Getenv("PATH"),
		"SCRIPT_NAME="+root, "PATH_INFO="+strings.TrimPrefix(req.URL.Path, root))
	if req.ContentLength > 0 {
		environ = append(environ, fmt.Sprint("CONTENT_LENGTH=", req.ContentLength))
	}
	return environ
}

// counter counts the bytes written.
type counter struct {
	io.Writer
	n int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += n
	return n, err
}
