#!/bin/sh
# Runs a program that serves as nobody, with an empty folder as its root. Only the
# web server's group can connect to the socket.
#
#   run.sh /srv/jail /run/app.sock /path/to/app
#   scgi_pass unix:/run/app.sock;
#
# Start it as root from a supervisor that keeps it running: the program's parent
# process opens the socket and stays root, and its children serve. The program is
# outside the folder and need not be static. Put the files that its handlers use
# into the folder, such as etc/resolv.conf; see package prefork.
set -eu
[ $# -eq 3 ] || { echo "usage: $0 ROOT SOCKET PROGRAM" >&2; exit 2; }
root=$1 socket=$2 program=$3
user=nobody
group=www-data # the web server's

install -d -m 0755 "$root"
exec env -i "$program" -scgi "unix:$socket?group=$group" \
	-processes 4 -user "$user" -chroot "$root"
