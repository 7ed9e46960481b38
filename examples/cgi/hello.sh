#!/bin/sh
# A CGI program (RFC 3875) reads variables and standard input, and writes a header,
# an empty line and the page.
echo 'Content-Type: text/plain; charset=utf-8'
echo
echo "Hello from a shell script."
echo "SCRIPT_NAME=$SCRIPT_NAME PATH_INFO=$PATH_INFO QUERY_STRING=$QUERY_STRING"
if [ "$REQUEST_METHOD" = POST ]; then
	echo "The body has $(wc -c) bytes."
fi
