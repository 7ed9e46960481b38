package interop_test

// vectors_test.go runs the programs in testdata/vectors, which test a server or a client in
// any language, against this library.

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"example.com/scgi"
	"example.com/scgi/gateway"
	"example.com/scgi/internal/webserver"
)

func runVectors(t *testing.T, args ...string) {
	t.Helper()
	python := webserver.NeedProgram(t, "python3", "python3")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.Dir = filepath.Join("..", "testdata", "vectors")
	out, err := cmd.CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^[1-9]\d+ passed, 0 differ [a-z ]+, 0 failed$`).Match(out) || bytes.Contains(out, []byte("FAIL")) {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
}

func TestVectorsJudgeServer(t *testing.T) {
	for name, strict := range map[string]bool{"run.py": false, "-strict": true} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, &scgi.Server{Strict: strict, Handler: scgi.HandlerFunc(echoWhole)}, "tcp")
			args := []string{"run.py", addr.String()}
			if strict {
				args = []string{"run.py", "-strict", addr.String()}
			}
			runVectors(t, args...)
		})
	}
}

// echoWhole is the app that run.py expects.
func echoWhole(w http.ResponseWriter, r *scgi.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Write(body)
}

func TestVectorsJudgeClient(t *testing.T) {
	addr := "unix:" + filepath.Join(webserver.TempDir(t), "s")
	front := httptest.NewServer(gateway.New(addr))
	defer front.Close()
	runVectors(t, "serve.py", addr, front.URL)
}
