// Cgitime is a CGI program that sends the same page as the contestants. It is
// started for each request.
package main

import (
	"os"
	"time"
)

func main() {
	os.Stdout.WriteString("Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + time.Now().Format(time.RFC3339) + "\n")
}
