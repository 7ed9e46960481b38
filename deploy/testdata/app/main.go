// Command app is the program that the recipes run. It answers with a description of
// its process and of what the process can see.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"

	"example.com/scgi"
	"example.com/scgi/app"
)

func main() {
	hold := flag.Bool("hold", false, "hold requests for /hold forever, and print a line for each")
	app.Main(scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		if *hold && r.Env.Get("REQUEST_URI") == "/hold" {
			fmt.Println("held", r.Env.Get("REQUEST_METHOD"))
			<-r.Context().Done()
		}
		answer(w)
	}))
}

func answer(w http.ResponseWriter) {
	var names []string
	entries, _ := os.ReadDir("/")
	for _, e := range entries {
		names = append(names, e.Name())
	}
	groups, _ := os.Getgroups()
	text, err := json.Marshal(map[string]any{
		"pid": os.Getpid(), "parent": os.Getppid(), "uid": os.Getuid(), "gid": os.Getgid(),
		"groups": groups, "root": names, "env": os.Environ(),
	})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = w.Write(text)
}
