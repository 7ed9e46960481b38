package webserver

// config.go writes the configuration files: lines of its own around the stanza that a user
// copies. Only the stanza's addresses and names are changed, as a user would change them.

import (
	"bytes"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"
)

// Kind is a web server's name.
type Kind string

// The known web servers.
const (
	Nginx    Kind = "nginx"
	Lighttpd Kind = "lighttpd"
	Apache   Kind = "apache"
)

// Config describes what a web server does.
type Config struct {
	// Stanza is the file with the stanza to use.
	Stanza string

	// Server is the text to use if there is no Stanza. For nginx it has server blocks,
	// in which LISTEN stands for the address to listen on.
	Server string

	// AsRoot lets a web server started by root stay root, so that it can connect to
	// every socket.
	AsRoot bool

	// Backend is the SCGI server's address, which replaces the stanza's. If it is nil,
	// the web server starts Program itself.
	Backend net.Addr

	// WebSocket enables the stanza's line for WebSocket, if it has one.
	WebSocket bool

	// Program replaces the stanza's /srv/app.
	Program string

	// Extra has more directives, placed before the stanza. MODULES stands for the folder
	// of Apache's modules.
	Extra string
}

// setup is how the kinds differ.
type setup struct {
	programs  []string
	pkg       string // Debian's package
	answersAs string // the prefix of its Server field
	template  *template.Template
	args      func(dir, conf string) []string
}

var setups = map[Kind]setup{
	Nginx: {
		programs: []string{"nginx"}, pkg: "nginx", answersAs: "nginx",
		template: template.Must(template.New("nginx").Parse(nginxConfig)),
		// -e keeps nginx from opening the default log before it reads the configuration.
		args: func(dir, conf string) []string {
			return []string{"-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")}
		},
	},
	Lighttpd: {
		programs: []string{"lighttpd"}, pkg: "lighttpd", answersAs: "lighttpd",
		template: template.Must(template.New("lighttpd").Parse(lighttpdConfig)),
		args: func(_, conf string) []string {
			args := []string{"-D", "-f", conf}
			if root() != "" {
				args = append(args, "-m", root()+"/usr/lib/lighttpd")
			}
			return args
		},
	},
	Apache: {
		programs: []string{"apache2", "httpd"}, pkg: "apache2", answersAs: "Apache",
		template: template.Must(template.New("apache").Parse(apacheConfig)),
		args:     func(dir, conf string) []string { return []string{"-d", dir, "-f", conf, "-DFOREGROUND"} },
	},
}

const nginxConfig = `daemon off;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log info;
{{with .User}}user {{.}} {{$.Group}};{{end}}
events {}
http {
	access_log off;
	client_body_temp_path {{.Dir}}/client_body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	client_max_body_size 64m;
	{{if .Server}}{{.Server}}{{else}}server {
		listen {{.Host}}:{{.Port}};
		{{.Extra}}
		{{.Stanza}}
	}{{end}}
}
`

// The parseopts are those of Debian's configuration.
const lighttpdConfig = `server.bind = "{{.Host}}"
server.port = {{.Port}}
server.document-root = "{{.Dir}}/htdocs"
server.upload-dirs = ( "{{.Dir}}" )
server.pid-file = "{{.Dir}}/lighttpd.pid"
server.errorlog = "{{.Dir}}/error.log"
server.http-parseopts = (
	"header-strict" => "enable",
	"host-strict" => "enable",
	"host-normalize" => "enable",
	"url-normalize-unreserved" => "enable",
	"url-normalize-required" => "enable",
	"url-ctrls-reject" => "enable",
	"url-path-2f-decode" => "enable",
	"url-path-dotseg-remove" => "enable",
)
{{.Extra}}
{{.Stanza}}{{.Server}}
`

const apacheConfig = `Listen {{.Host}}:{{.Port}}
ServerName interop.test
PidFile "{{.Dir}}/apache.pid"
ErrorLog "{{.Dir}}/error.log"
Mutex "file:{{.Dir}}" default
DefaultRuntimeDir "{{.Dir}}"
DocumentRoot "{{.Dir}}/htdocs"
StartServers 1
{{with .User}}User {{.}}
Group {{$.Group}}{{end}}
LoadModule mpm_event_module "{{.Modules}}/mod_mpm_event.so"
LoadModule authn_core_module "{{.Modules}}/mod_authn_core.so"
LoadModule authn_file_module "{{.Modules}}/mod_authn_file.so"
LoadModule authz_core_module "{{.Modules}}/mod_authz_core.so"
LoadModule authz_user_module "{{.Modules}}/mod_authz_user.so"
LoadModule auth_basic_module "{{.Modules}}/mod_auth_basic.so"
LoadModule proxy_module "{{.Modules}}/mod_proxy.so"
LoadModule proxy_scgi_module "{{.Modules}}/mod_proxy_scgi.so"
LoadModule proxy_balancer_module "{{.Modules}}/mod_proxy_balancer.so"
LoadModule slotmem_shm_module "{{.Modules}}/mod_slotmem_shm.so"
LoadModule lbmethod_byrequests_module "{{.Modules}}/mod_lbmethod_byrequests.so"
{{.Extra}}
{{.Stanza}}{{.Server}}
`

// apacheModules are the folders where distributions keep Apache's modules.
var apacheModules = []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules", "/usr/libexec/apache2"}

func (k Kind) writeConfig(t testing.TB, dir, addr string, c Config) (path string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"Dir": dir, "Host": host, "Port": port, "Extra": c.Extra, "Stanza": ""}
	values["Server"] = strings.ReplaceAll(c.Server, "LISTEN", addr)
	if c.Stanza != "" {
		text, err := os.ReadFile(c.Stanza)
		if err != nil {
			t.Fatal(err)
		}
		values["Stanza"] = c.apply(string(text), dir)
	}
	if os.Getuid() == 0 {
		values["User"], values["Group"] = userOf(t, c.AsRoot)
	}
	switch k {
	case Nginx:
		copyParams(t, dir)
	case Apache:
		values["Modules"] = firstDir(t, apacheModules)
		values["Extra"] = strings.ReplaceAll(c.Extra, "MODULES", values["Modules"])
	}
	if err := os.MkdirAll(filepath.Join(dir, "htdocs"), 0o755); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := setups[k].template.Execute(&b, values); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, string(k)+".conf")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// The words in a stanza that a user changes. For a unix socket, a commented line below
// replaces the line with the port.
const (
	stanzaHost    = "127.0.0.1"
	stanzaPort    = "4000"
	stanzaSocket  = "/run/app.sock"
	stanzaUpgrade = `"upgrade" => "enable"`
	stanzaProgram = "/srv/app"
)

// apply changes a stanza as a user would.
func (c Config) apply(stanza, dir string) string {
	socket := filepath.Join(dir, "app.sock")
	network, port := "unix", ""
	switch a := c.Backend.(type) {
	case nil:
	case *net.UnixAddr:
		socket = a.Name
	default:
		network = "tcp"
		_, port, _ = net.SplitHostPort(a.String())
	}
	var b strings.Builder
	for line := range strings.Lines(stanza) {
		switch {
		case strings.Contains(line, stanzaHost) && network == "unix":
			continue
		case strings.Contains(line, stanzaHost):
			line = strings.Replace(line, stanzaPort, port, 1)
		case strings.Contains(line, stanzaSocket) && network == "unix", strings.Contains(line, stanzaUpgrade) && c.WebSocket:
			line = strings.Replace(line, "# ", "", 1)
		}
		b.WriteString(line)
	}
	return strings.NewReplacer(stanzaSocket, socket, stanzaProgram, c.Program).Replace(b.String())
}

// userOf returns the user and group that a web server started by root runs as.
func userOf(t testing.TB, asRoot bool) (name, group string) {
	t.Helper()
	if asRoot {
		return "root", "root"
	}
	for _, name := range []string{"www-data", "apache", "www", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		if g, err := user.LookupGroupId(u.Gid); err == nil {
			return name, g.Name
		}
	}
	t.Fatal("no user to run a web server as")
	return "", ""
}

var nginxConfPath = regexp.MustCompile(`--conf-path=(\S+)`)

// copyParams copies the distribution's scgi_params to where nginx looks for it.
func copyParams(t testing.TB, dir string) {
	t.Helper()
	about, err := Nginx.command(t, "-V").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	conf := "/usr/local/nginx/conf/nginx.conf"
	if m := nginxConfPath.FindSubmatch(about); m != nil {
		conf = string(m[1])
	}
	params, err := os.ReadFile(filepath.Join(root(), filepath.Dir(conf), "scgi_params"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "scgi_params"), params, 0o644); err != nil {
		t.Fatal(err)
	}
}

func firstDir(t testing.TB, dirs []string) string {
	t.Helper()
	for _, dir := range dirs {
		dir = root() + dir
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	t.Fatalf("none of %q exists", dirs)
	return ""
}
