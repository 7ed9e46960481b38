//go:build linux && (386 || s390x)

package socket

// Linux has these calls since 4.3. Package syscall knows socketcall(2) only.
const (
	sysAccept4 = 364
	sysConnect = 362
)
