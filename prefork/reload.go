package prefork

// reload.go owns SIGHUP: children of the program as it is now take the place of
// the others. Rule: until one of them serves, the old program is what is started
// when a child has to be replaced.

const whyReload = "the program was reloaded"

// reload is what SIGHUP asks for.
type reload struct {
	running bool
	next    *executable // nil once a child of it has served
	again   bool        // SIGHUP came meanwhile
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

// giveUpReload is called when the new program does not come up.
func (p *parent) giveUpReload(err error) {
	p.log.Error("prefork: the new program does not come up; the old one goes on", "err", err, "serving", p.count(serving))
	if p.reload.next != nil {
		p.reload.next.close()
		p.reload.next = nil
	}
	p.endReload()
}

// finishReload is called when no child is left to be replaced.
func (p *parent) finishReload() {
	switch {
	case !p.reload.running:
	case p.reload.next == nil:
		p.log.Info("prefork: reloaded", "serving", p.count(serving))
		p.endReload()
	case p.present() == 0:
		p.adopt() // the old program does not come up; the new one may
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
