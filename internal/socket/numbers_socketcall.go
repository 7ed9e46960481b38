//go:build linux && (386 || s390x)

package socket

// Linux has had these calls since 4.3; package syscall knows only socketcall(2).
const (
	sysAccept4 = 364
	sysConnect = 362
)
