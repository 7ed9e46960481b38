package listen

// filter_linux_amd64_test.go runs Listen in a process under a real seccomp filter, such
// as systemd installs.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// A child of these tests reads a umask and an address from bindEnv, and from filterEnv
// the numbers of the system calls that the filter forbids.
const (
	bindEnv   = "SCGI_TEST_BIND"
	filterEnv = "SCGI_TEST_FILTER"
)

const sysFchmodat2 = 452 // newer than package syscall

func init() {
	var err error
	if numbers := os.Getenv(filterEnv); numbers != "" {
		err = runFiltered(strings.Fields(numbers))
	} else if bind := strings.Fields(os.Getenv(bindEnv)); len(bind) == 2 {
		err = bindAsChild(bind[0], bind[1])
	} else {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runFiltered starts this program anew, in the same process, with a filter.
func runFiltered(numbers []string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the filter belongs to the thread and survives execve(2)
	if err := install(numbers); err != nil {
		return err
	}
	os.Unsetenv(filterEnv)
	return syscall.Exec(exe, os.Args, os.Environ())
}

// install makes the system calls with these numbers fail with EPERM, as
// SystemCallErrorNumber=EPERM does.
func install(numbers []string) error {
	const (
		setNoNewPrivs = 38
		modeFilter    = 2
		allow         = 0x7fff0000
		fail          = 0x00050000
	)
	filter := []syscall.SockFilter{{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS}}
	for _, s := range numbers {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return err
		}
		filter = append(filter,
			syscall.SockFilter{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: uint32(n), Jf: 1},
			syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K, K: fail | uint32(syscall.EPERM)})
	}
	filter = append(filter, syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K, K: allow})
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, syscall.PR_SET_SECCOMP, modeFilter, uintptr(unsafe.Pointer(&program)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func TestListenUnixUnderSeccomp(t *testing.T) {
	chown := []int{syscall.SYS_CHOWN, syscall.SYS_FCHOWN, syscall.SYS_LCHOWN, syscall.SYS_FCHOWNAT} // @chown, of @privileged
	chmod := []int{syscall.SYS_CHMOD, syscall.SYS_FCHMOD, syscall.SYS_FCHMODAT, sysFchmodat2}
	link := []int{syscall.SYS_LINK, syscall.SYS_LINKAT}
	own := fmt.Sprintf("owner=%d&group=%d", os.Getuid(), os.Getgid())
	tests := []struct {
		name    string
		denied  []int
		umask   int
		options string
		want    string // the mode, or an error
	}{
		{"chown", chown, 0o022, "", "Srw-rw----"},
		{"chown to itself", chown, 0o022, "?" + own, "Srw-rw----"},
		{"chown to another", chown, 0o022, "?owner=12345", "permission denied"},
		{"fchmodat2", []int{sysFchmodat2}, 0o022, "?mode=0666", "Srw-rw-rw-"},
		{"link", link, 0o022, "?mode=0666", "Srw-rw-rw-"},
		{"chmod", chmod[:1], 0o022, "", "Srw-rw----"},
		{"chmod for nothing", []int{syscall.SYS_CHMOD, syscall.SYS_FCHMODAT, sysFchmodat2}, 0o007, "", "Srw-rw----"},
		{"every chmod", chmod, 0o022, "?mode=0666", "permission denied"},
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := tempSocket(t)
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0",
				fmt.Sprintf("%s=%d unix:%s%s", bindEnv, test.umask, path, test.options),
				filterEnv+"="+strings.Trim(fmt.Sprint(test.denied), "[]"))
			got, err := cmd.CombinedOutput()
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// bindAsChild prints the mode of the socket at a unix address.
func bindAsChild(umask, addr string) error {
	mask, err := strconv.Atoi(umask)
	if err != nil {
		return err
	}
	syscall.Umask(mask)
	l, err := One(addr)
	if errors.Is(err, fs.ErrPermission) {
		fmt.Print("permission denied")
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Close()
	info, err := os.Lstat(l.Addr().String())
	if err != nil {
		return err
	}
	fmt.Print(info.Mode())
	return nil
}
