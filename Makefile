.PHONY: test race fuzz interop lint ci bench bench-quick bench-hosts cost dist kill soak

test:
	go test ./...

race:
	go test -race -shuffle=on ./...

fuzz:
	.ci/run fuzz

interop:
	.ci/run tools webservers
	SCGI_INTEROP=1 go test -race ./interop/...
	SCGI_INTEROP=1 SCGI_WEBSERVERS=$(CURDIR)/.ci/webservers/trixie go test ./interop/...

lint:
	.ci/run lint

ci:
	.ci/run

bench:
	cd bench && go run ./cmd/bench

bench-quick:
	cd bench && go run ./cmd/bench -quick

bench-hosts:
	cd bench && go run ./cmd/bench -hosts

cost:
	cd bench && go run ./cmd/bench -children

dist:
	for arch in amd64 arm64; do CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -ldflags '-s -w -X main.stamp=$(shell git describe --tags --always --dirty)' -o dist/scgi-linux-$$arch ./cmd/scgi || exit; done
	cp cmd/scgi/scgi.1 dist/

kill:
	SCGI_INTEROP=1 go test -v -run UnderLoad -timeout 30m ./prefork -kills 200 -exits 50 -overflows 10 -hogs 10 -reloads 100 -recycles 1000 -restarts 100

soak:
	mkdir -p bench/out
	go test -v -run TestSoak -timeout 0 ./faults -soak $(or $(T),5m) -soak.csv $(CURDIR)/bench/out/soak.csv
	cd bench && go run ./cmd/soakplot out/soak.csv plots/soak.svg
