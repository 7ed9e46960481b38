package prefork

// reload.go handles SIGHUP: it replaces the children by children of the current
// version of the program. Until one of these serves, a child that dies is
// replaced by the old version.

const whyReload = "the program was reloaded"

// A reload is the state of a reload that SIGHUP has asked for.
type reload struct {
	running bool
	next    *executable // nil once a child of it has served
	again   bool        // SIGHUP came again meanwhile
}

func (p *parent) startReload() {
	if p.stopping {
		return
	}
	if p.reload.running {
		p.reload.again = true
		return
	}
	p.notifier.send(reloading())
	p.log.Info("prefork: reloading", "program", program.path)
	p.reload = reload{running: true}
	next, err := openExecutable()
	if err != nil {
		p.giveUpReload(err)
		return
	}
	p.reload.next = next
}

// adopt makes the new program the one that children run.
func (p *parent) adopt() {
	p.exe.close()
	p.exe, p.reload.next = p.reload.next, nil
	p.pause = pause{}
}

// giveUpReload is called when the new program fails to start.
func (p *parent) giveUpReload(err error) {
	p.log.Error("prefork: reload failed; keeping the old program", "err", err, "serving", p.count(serving))
	if p.reload.next != nil {
		p.reload.next.close()
		p.reload.next = nil
	}
	p.endReload()
}

// finishReload is called when no child is left to replace.
func (p *parent) finishReload() {
	switch {
	case !p.reload.running:
	case p.reload.next == nil:
		p.log.Info("prefork: reloaded", "serving", p.count(serving))
		p.endReload()
	case p.present() == 0:
		p.adopt() // the old program fails to start; the new one may work
	}
}

func (p *parent) endReload() {
	again := p.reload.again
	p.reload = reload{}
	p.notifier.send("READY=1")
	if again {
		p.startReload()
	}
}
