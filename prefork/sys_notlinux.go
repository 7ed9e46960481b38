//go:build !linux

package prefork

// sys_notlinux.go replaces sys_linux.go on other systems. There a child notices
// its parent's death by the end of its pipe.

const hasFDPaths = false

func dieWithParent() {}

func setProcessName(string) {}

func preferToParent() {}

func oomKills() int64 { return 0 }

func monotonicUsec() int64 { return 0 }

func (p *parent) reapOrphans() {}
