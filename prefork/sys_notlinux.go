//go:build !linux

package prefork

// sys_notlinux.go owns what is left of that elsewhere. Children find out by the
// end of their pipe that their parent is gone.

const hasFDPaths = false

func dieWithParent() {}

func setProcessName(string) {}

func preferToParent() {}

func oomKills() int64 { return 0 }

func monotonicUsec() int64 { return 0 }

func (p *parent) reapOrphans() {}
