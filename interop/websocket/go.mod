module example.com/scgi/interop/websocket

go 1.25

require (
	example.com/scgi v0.0.0
	github.com/coder/websocket v1.8.15
)

replace example.com/scgi => ../..
