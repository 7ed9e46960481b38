#!/bin/sh
# Runs a program that serves as nobody, in an empty folder that it takes for the
# whole system. The socket is for the web server's group alone.
#
#   run.sh /srv/jail /run/app.sock /path/to/app
#   scgi_pass unix:/run/app.sock;
#
# To be started as root, by whatever keeps it running: the program's parent process
# opens the socket and stays root, its children serve. The program lies outside,
# and may be of any kind. Put into the folder what its handlers look for, such as
# etc/resolv.conf; package prefork says more of that.
set -eu
[ $# -eq 3 ] || { echo "usage: $0 ROOT SOCKET PROGRAM" >&2; exit 2; }
root=$1 socket=$2 program=$3
user=nobody
group=www-data # the web server's

install -d -m 0755 "$root"
exec env -i "$program" -scgi "unix:$socket?group=$group" \
	-processes 4 -user "$user" -chroot "$root"
