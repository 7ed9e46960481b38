//go:build linux

package main

// nginx.go runs nginx in front of a contestant: one worker, on the contestant's
// processor, so that the two share it as on a small machine. It uses none of the
// system's own configuration or files.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.com/scgi/bench/load"
)

const nginxConf = `
%s
worker_processes 1;
daemon off;
pid %[2]s/nginx.pid;
error_log %[2]s/error.log;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	scgi_temp_path %[2]s/scgi;
	uwsgi_temp_path %[2]s/uwsgi;
	keepalive_requests 100000000;
	upstream once { server %[3]s; }
	upstream kept { server %[3]s; keepalive 128; keepalive_requests 100000000; }
	server {
		listen unix:%[4]s;
		location / { %[5]s }
	}
}
`

// The directives that pass a request on, by protocol.
const (
	proxyPass    = `proxy_pass http://once; proxy_set_header Host $host;`
	proxyKept    = `proxy_pass http://kept; proxy_set_header Host $host; proxy_http_version 1.1; proxy_set_header Connection "";`
	scgiPass     = `scgi_pass once; scgi_param SCGI 1; ` + cgiParams
	fcgiPass     = `fastcgi_pass once; fastcgi_param CONTENT_LENGTH $content_length; ` + cgiParams
	fcgiPassKept = `fastcgi_pass kept; fastcgi_keep_conn on; fastcgi_param CONTENT_LENGTH $content_length; ` + cgiParams
)

// cgiParams holds the variables that Debian's scgi_params and fastcgi_params have
// in common. PARAM stands for scgi_param or fastcgi_param.
const cgiParams = `
	PARAM REQUEST_METHOD $request_method; PARAM REQUEST_URI $request_uri; PARAM QUERY_STRING $query_string;
	PARAM CONTENT_TYPE $content_type; PARAM DOCUMENT_URI $document_uri; PARAM DOCUMENT_ROOT $document_root;
	PARAM SERVER_PROTOCOL $server_protocol; PARAM REQUEST_SCHEME $scheme; PARAM HTTPS $https if_not_empty;
	PARAM REMOTE_ADDR $remote_addr; PARAM REMOTE_PORT $remote_port; PARAM SERVER_PORT $server_port;
	PARAM SERVER_NAME $server_name; PARAM HTTP_HOST $host;`

func (l *lab) compareBehindNginx() (table, error) {
	if _, err := exec.LookPath("nginx"); err != nil {
		return nil, nil // the report says that nginx is missing
	}
	return l.inTurn(l.scale.rounds, direct, l.sampleBehindNginx)
}

func (l *lab) sampleBehindNginx(c contestant) (sample, error) {
	s, err := l.start(c, "unix")
	if err != nil {
		return sample{}, err
	}
	defer s.end()
	front, err := l.startNginx(c, s.addr)
	if err != nil {
		return sample{}, err
	}
	defer front.end()
	return l.sample(s, load.Config{Addr: front.addr, Protocol: "http", Keep: true, Flight: flight, Duration: l.scale.duration}, front)
}

// startNginx starts nginx in front of app and waits until it passes a request on.
func (l *lab) startNginx(c contestant, app string) (*server, error) {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // lets the worker connect to the socket
	}
	param, _, _ := strings.Cut(c.nginx, "_")
	pass := strings.ReplaceAll(c.nginx, "PARAM", param+"_param")
	socket := l.socket()
	name := filepath.Join(l.dir, "nginx.conf")
	if err := writeFile(name, fmt.Sprintf(nginxConf, user, l.dir, app, socket, pass)); err != nil {
		return nil, err
	}
	cmd := l.pinned(lastCPU, "nginx", "-p", l.dir, "-e", filepath.Join(l.dir, "error.log"), "-c", name)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, addr: "unix:" + socket}
	if err := l.awaitReply(load.Config{Addr: s.addr, Protocol: "http", Keep: true}, 5*time.Millisecond); err != nil {
		s.end()
		log, _ := os.ReadFile(filepath.Join(l.dir, "error.log"))
		return nil, fmt.Errorf("nginx: %w\n%.1000s", err, log)
	}
	return s, nil
}

// awaitReply sends requests until one is answered.
func (l *lab) awaitReply(c load.Config, pause time.Duration) (err error) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && l.ctx.Err() == nil; time.Sleep(pause) {
		if err = load.Ask(c); err == nil {
			return nil
		}
	}
	return err
}
