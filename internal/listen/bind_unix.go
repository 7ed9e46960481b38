//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// bind_unix.go binds unix sockets where files have modes. No peer can connect before
// the file has its mode, owner and group, and Listen changes no file but the socket
// that it has bound, whatever happens to the path.

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var (
	errFolder   = errors.New("everyone may write to the folder, and so replace the socket: set its sticky bit, or use a folder of the server's own")
	errReplaced = fmt.Errorf("another file has replaced the socket: %w", syscall.EADDRINUSE)
)

// testHook is called with the name of each step that a test may want to disturb.
var testHook = func(step string) {}

// checkFolder refuses a folder in which any user may replace any file.
func checkFolder(dir *os.Root) error {
	info, err := dir.Stat(".")
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 && isOpen(dir.Name()) {
		return errFolder
	}
	return nil
}

// isOpen reports whether every user may enter the folders above dir. Under a umask of
// 0, which some CI systems set, t.TempDir is a world-writable folder inside a private
// one, and so safe.
func isOpen(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	for err == nil && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			return false
		}
	}
	return true
}

// bindUnix binds at the final path, because peers and tools such as ss(8) see the name
// that a socket was bound to. The kernel refuses connections until the socket listens;
// the lock keeps other processes from taking the socket for a dead one meanwhile. If no
// old socket has to be removed, bindUnix does without the lock, so that a stranger who
// holds it can't keep a server from starting.
func bindUnix(p *place, o unixOptions) (*Listener, error) {
	unlock, lockErr := p.lock()
	defer unlock()
	fd, err := newSocket(o.mode)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), p.name)
	defer f.Close()
	err = p.claim(func() error {
		err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: p.name})
		if err == syscall.EADDRINUSE {
			return fs.ErrExist
		}
		return os.NewSyscallError("bind", err)
	}, lockErr)
	if err != nil {
		return nil, err
	}
	testHook("bound")
	file, err := p.grant(o)
	var l *Listener
	if err == nil {
		l, err = p.listen(fd, f, file)
	}
	if err != nil && file != nil && p.has(file) {
		_ = p.dir.Remove(p.base)
	}
	return l, err
}

// newSocket returns a socket whose file gets mode, less the umask, on systems where a
// socket's mode can be set before bind.
func newSocket(mode fs.FileMode) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	syscall.CloseOnExec(fd)
	setBirthMode(fd, mode)
	return fd, nil
}

// listen makes the bound socket fd, which is f's, a listener. The kernel lowers
// maxBacklog to its own limit.
func (p *place) listen(fd int, f *os.File, file os.FileInfo) (*Listener, error) {
	const maxBacklog = 1<<16 - 1
	if err := syscall.Listen(fd, maxBacklog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if !p.has(file) {
		l.Close()
		return nil, errReplaced
	}
	return &Listener{socket: l.(socket), bound: true, path: p.path, file: file}, nil
}

// grant gives the socket's file the mode, owner and group that o asks for. It makes no
// system call for what the file already has, since a filter may forbid the call. Once
// the file is known to be the socket's, grant returns it even with an error.
func (p *place) grant(o unixOptions) (os.FileInfo, error) {
	file, err := p.dir.Lstat(p.base)
	switch {
	case err != nil:
		return nil, err
	case !isOwnSocket(file, 1):
		return nil, errReplaced
	case o.areMet(file):
		return file, nil
	}
	pin, err := p.pin()
	if err != nil {
		return file, err
	}
	defer pin.release()
	if file, err = pin.dir.Lstat(pin.name); err != nil || !isOwnSocket(file, 2) {
		return nil, errReplaced
	}
	return file, o.grant(pin, file)
}

// isOwnSocket reports whether file can be the socket that was just bound. A file with
// more than one link also has a name elsewhere, so it is not that socket.
func isOwnSocket(file os.FileInfo, links uint64) bool {
	return file.Mode().Type() == fs.ModeSocket && uint64(file.Sys().(*syscall.Stat_t).Nlink) <= links
}

func (o unixOptions) areMet(file os.FileInfo) bool {
	return file.Mode().Perm() == o.mode && o.isOwner(file)
}

func (o unixOptions) isOwner(file os.FileInfo) bool {
	stat := file.Sys().(*syscall.Stat_t)
	return (o.uid < 0 || o.uid == int(stat.Uid)) && (o.gid < 0 || o.gid == int(stat.Gid))
}

// grant sets the mode first: a process that has given a file away may not change
// its mode any more.
func (o unixOptions) grant(pin *pinned, file os.FileInfo) error {
	if file.Mode().Perm() != o.mode {
		if err := pin.chmod(o.mode); err != nil {
			return err
		}
	}
	if o.isOwner(file) {
		return nil
	}
	err := pin.dir.Lchown(pin.name, o.uid, o.gid)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("only root may give the socket to another owner, and only a member to a group: %w", err)
	}
	return err
}

// pinned is a link to the socket's file in a private folder: a name that no other user
// can point at another file.
type pinned struct {
	dir    *os.Root
	name   string
	parent *os.Root
	folder string // dir's name in parent; "" if dir is parent
}

// pin links the file into a folder that only this user may enter. On a file system
// without hard links, pin returns the file itself. That is safe: nobody can put a hard
// link to another file in its place there, and symbolic links are not followed.
func (p *place) pin() (*pinned, error) {
	folder := fmt.Sprintf(".scgi%d", rand.Uint32())
	if err := p.dir.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	dir, err := p.dir.OpenRoot(folder)
	if err != nil {
		_ = p.dir.Remove(folder)
		return nil, err
	}
	pin := &pinned{dir, "s", p.dir, folder}
	testHook("private")
	if info, err := dir.Stat("."); err != nil || !isPrivate(info) {
		pin.release()
		return nil, errReplaced
	}
	err = p.dir.Link(p.base, folder+"/"+pin.name)
	testHook("pinned")
	switch {
	case err == nil:
		return pin, nil
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM):
		pin.release()
		return &pinned{p.dir, p.base, p.dir, ""}, nil
	}
	pin.release()
	return nil, err
}

// isPrivate reports whether only this user may enter a folder. If so, nobody has put
// another folder in the place of the one that pin made.
func isPrivate(folder os.FileInfo) bool {
	return folder.Mode().Perm()&0o077 == 0 && int(folder.Sys().(*syscall.Stat_t).Uid) == os.Geteuid()
}

// chmod avoids os.Root's Chmod, which on Linux needs /proc or a system call that many
// filters do not know. The private folder holds no symbolic link to guard against.
func (pin *pinned) chmod(mode fs.FileMode) error {
	if pin.folder == "" {
		return pin.dir.Chmod(pin.name, mode)
	}
	return chmodIn(pin.dir, pin.name, mode)
}

// release removes the link and the folder. It removes no folder that has
// anything else in it.
func (pin *pinned) release() {
	if pin.folder == "" {
		return
	}
	_ = pin.dir.Remove(pin.name)
	_ = pin.dir.Close()
	_ = pin.parent.Remove(pin.folder)
}

// lockTries is the number of attempts that lock makes, 10 ms apart.
var lockTries = 200

// lock takes an advisory lock on the folder, which the kernel drops when the process
// ends. It waits for two seconds at most, since anyone who can read the folder can hold
// the lock. The unlock function is never nil.
func (p *place) lock() (unlock func(), err error) {
	f, err := p.dir.Open(".")
	if err != nil {
		return func() {}, err
	}
	for range lockTries {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return func() { f.Close() }, os.NewSyscallError("flock", err)
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
