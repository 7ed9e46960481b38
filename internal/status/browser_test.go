//go:build unix

package status

// browser_test.go views the page in headless Chromium. Under virtual time the page's timers
// fire at once, and the clock stands still while the page waits for an answer.

import (
	"context"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/internal/webserver"
)

const patience = 50 * time.Second

// chromium returns a command that runs the browser with a profile of its own. The browser
// ends with the test.
func chromium(t *testing.T, profile string, args ...string) *exec.Cmd {
	t.Helper()
	program := webserver.NeedProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
		"--no-first-run", "--hide-scrollbars", "--user-data-dir=" + profile,
	}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// output runs the browser to its end and returns its output.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	return string(out)
}

// With scripts on, the page shows what has changed since it was loaded, and text that looks
// like a script stays text.
func TestBrowserUpdatesPage(t *testing.T) {
	t.Parallel()
	ps := twoProcesses()
	h := newHandler(&ps)
	h.history.samples = minutes()
	asked := 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 2 {
			uri := `/<img src=x onerror="document.title='run'"><script>document.title='run'</script>`
			ps = append(ps, Process[counts]{Pid: 103, State: "serving", Requests: []Request{NewRequest("GET", uri, 0)}})
		}
		h.ServeHTTP(w, r)
	}))
	defer front.Close()
	dom := output(t, chromium(t, t.TempDir(), "--virtual-time-budget=3000", "--dump-dom", front.URL))
	rows := cells(dom)
	if len(rows) != 3 || rows[2][0] != "103" || !strings.HasPrefix(rows[2][6], "GET /&lt;img src=x") {
		t.Errorf("the rows are %q", rows)
	}
	if strings.Contains(dom, "<img") || strings.Contains(dom, "<title>run") || strings.Count(dom, "<script") != 1 {
		t.Error("the URI is not text")
	}
	if n := strings.Count(dom, "<polyline points="); n != 4 {
		t.Errorf("%d charts", n)
	}
	if t.Failed() {
		t.Log(dom)
	}
}

// With scripts off, the browser reloads the page.
func TestBrowserWithoutScript(t *testing.T) {
	t.Parallel()
	ps := twoProcesses()
	h := newHandler(&ps)
	asked := make(chan string, 100)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			asked <- r.Header.Get("Sec-Fetch-Mode")
		}
		h.ServeHTTP(w, r)
	}))
	defer front.Close()
	profile := t.TempDir()
	preferences := filepath.Join(profile, "Default", "Preferences")
	if err := os.Mkdir(filepath.Dir(preferences), 0o755); err != nil {
		t.Fatal(err)
	}
	const noScript = `{"profile": {"default_content_setting_values": {"javascript": 2}}}`
	if err := os.WriteFile(preferences, []byte(noScript), 0o644); err != nil {
		t.Fatal(err)
	}
	browser := chromium(t, profile, "--remote-debugging-port=0", front.URL)
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = browser.Cancel()
		_ = browser.Wait()
	}()
	for range 2 {
		select {
		case mode := <-asked:
			if mode != "navigate" {
				t.Errorf("a script made the request: %s", mode)
			}
		case <-time.After(patience):
			t.Fatal("the page does not update itself")
		}
	}
}

// The browser accepts the style sheet, and paints the charts on wide and narrow screens.
func TestBrowserPaintsCharts(t *testing.T) {
	t.Parallel()
	ps := twoProcesses()
	h := newHandler(&ps)
	h.history.samples = minutes()
	front := httptest.NewServer(h)
	defer front.Close()
	for _, size := range []string{"1200,900", "500,900"} {
		file := filepath.Join(t.TempDir(), "page.png")
		output(t, chromium(t, t.TempDir(), "--window-size="+size, "--screenshot="+file, front.URL))
		if n := blue(t, file); n < 2000 {
			t.Errorf("%s: %d points have the charts' colour", size, n)
		}
	}
}

// minutes returns a full history that ends now.
func minutes() (samples []sample) {
	now, served := time.Now(), int64(0)
	for i := range int64(maxSamples) {
		served += i * i % 61
		samples = append(samples, sample{
			at: now.Add(time.Duration(i-int64(maxSamples)) * time.Second), served: served,
			busy: i % 7, memory: (50 + i/10) << 20, number: 2 + i/100,
		})
	}
	return samples
}

// blue counts the points in the charts' colour, whose green lies between red and blue on
// the way from the line to the background. No link has such a blue.
func blue(t *testing.T, file string) (n int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if isBlue(img, x, y) {
				n++
			}
		}
	}
	return n
}

func isBlue(img image.Image, x, y int) bool {
	r, g, b, _ := img.At(x, y).RGBA()
	return g>>8 >= r>>8+8 && b>>8 >= g>>8+8
}
